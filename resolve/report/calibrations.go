package report

import (
	"fmt"
	"html/template"
	"io"

	"crumbtrail/resolve/match"
)

// Calibration is how well the probabilities of a set mean what they say.
type Calibration struct {
	Name string
	Bins []match.Bin
}

// A picture's plots in user units: each has a square of cell, with room around it.
const (
	cell      = 230
	cellLeft  = 52
	cellTop   = 44
	cellRight = 16
	cellFoot  = 62
	columns   = 3
)

// panel is one plot of a picture.
type panel struct {
	Name          string
	X, Y          int
	Ticks         []panelTick
	Dots          []panelDot
	Counts        []panelCount
	Cell, CountsY int
}

type (
	panelTick  struct{ X, Y, Label string }
	panelDot   struct{ X, Y, Low, High, Title string }
	panelCount struct{ X, Label string }
)

// WriteCalibrations writes one picture of several sets, as SVG.
func WriteCalibrations(w io.Writer, sets []Calibration) error {
	t, err := template.New("calibration.gosvg").ParseFS(files, "calibration.gosvg")
	if err != nil {
		return err
	}
	var panels []panel
	for i, set := range sets {
		panels = append(panels, panelOf(set, i%columns*(cellLeft+cell+cellRight)+cellLeft,
			i/columns*(cellTop+cell+cellFoot)+cellTop))
	}
	wide := min(len(sets), columns)
	return t.Execute(w, map[string]any{
		"Width": wide * (cellLeft + cell + cellRight), "Panels": panels,
		"Height": (len(sets) + columns - 1) / columns * (cellTop + cell + cellFoot),
	})
}

func panelOf(set Calibration, x, y int) panel {
	p := panel{Name: set.Name, X: x, Y: y, Cell: cell, CountsY: cell + 34}
	at := func(share float64) string { return fmt.Sprintf("%.1f", share*cell) }
	for _, v := range []float64{0, 0.25, 0.5, 0.75, 1} {
		p.Ticks = append(p.Ticks, panelTick{at(v), at(1 - v), fmt.Sprintf("%.0f%%", 100*v)})
	}
	for _, b := range set.Bins {
		if b.Pairs == 0 {
			continue
		}
		low, high := interval(b.Share(), b.Pairs)
		p.Dots = append(p.Dots, panelDot{
			at(b.Mean), at(1 - b.Share()), at(1 - low), at(1 - high),
			fmt.Sprintf("%s pairs: said %s, true %s", number(b.Pairs), percent(b.Mean),
				percent(b.Share())),
		})
		p.Counts = append(p.Counts, panelCount{at((b.From + b.To) / 2), short(b.Pairs)})
	}
	return p
}
