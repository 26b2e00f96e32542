package report

import (
	"fmt"
	"math"
	"strings"
)

// Plot is a chart with two axes. Places are per cent of its sides, so that it takes any width.
type Plot struct {
	Title, Describe string
	XTitle, YTitle  string
	XTicks, YTicks  []Tick
	Lines           []Line
	Marks           []Tick // upright lines
	Dots            []Dot
}

// Tick is a labelled place on an axis.
type Tick struct{ At, Label, Class string }

// Line is a polyline in a square of 1000 by 1000, with its name in the legend.
type Line struct{ Class, Name, Path string }

// Dot is a point with the range in which it may as well be.
type Dot struct {
	X, Y, Low, High string
	Radius          float64
	Title           string
}

// scale maps values onto a side of a plot.
type scale struct {
	from, to float64
	down     bool // greater values are higher up, where a page's y is less
}

// share is where a value is on its side, from 0 to 1.
func (s scale) share(x float64) float64 {
	at := (x - s.from) / (s.to - s.from)
	if s.down {
		at = 1 - at
	}
	return min(max(at, 0), 1)
}

func (s scale) at(x float64) string { return side(s.share(x)) }

func side(share float64) string { return fmt.Sprintf("%.2f%%", 100*share) }

func (s scale) ticks(values []float64, label func(float64) string) []Tick {
	var out []Tick
	for _, v := range values {
		if v >= s.from && v <= s.to {
			out = append(out, Tick{At: s.at(v), Label: label(v)})
		}
	}
	return out
}

// path draws a line through points; one that is not a number interrupts it.
func path(x, y scale, xs, ys []float64) string {
	var b strings.Builder
	draw := "M"
	for i := range xs {
		if math.IsNaN(ys[i]) {
			draw = "M"
			continue
		}
		fmt.Fprintf(&b, "%s%.1f %.1f", draw, 1000*x.share(xs[i]), 1000*y.share(ys[i]))
		draw = "L"
	}
	return b.String()
}

// steps are round values from 0 that divide a range into about four parts, and the end of the last.
func steps(most float64) (values []float64, end float64) {
	step := math.Pow(10, math.Floor(math.Log10(max(most, 1)/4)))
	for _, more := range []float64{1, 2, 2.5, 5, 10} {
		if most/(step*more) <= 5 {
			step *= more
			break
		}
	}
	step = max(step, 1)
	for v := 0.0; ; v += step {
		values = append(values, v)
		if v >= most {
			return values, v
		}
	}
}
