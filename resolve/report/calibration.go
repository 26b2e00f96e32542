package report

import (
	"fmt"
	"math"

	"crumbtrail/resolve/match"
)

// BinRow is a bin of a calibration in figures.
type BinRow struct {
	Range, Pairs, Mean, Share, Interval string
	Short                               string
	At, Middle, Top, Height             string
}

func calibrationPlot(bins []match.Bin) Plot {
	x, y := scale{from: 0, to: 1}, scale{from: 0, to: 1, down: true}
	tenths := []float64{0, 0.2, 0.4, 0.6, 0.8, 1}
	plain := func(v float64) string { return fmt.Sprintf("%.0f%%", 100*v) }
	plot := Plot{
		Title:  "Calibration",
		XTitle: "probability that was said, mean of the bin", YTitle: "share that is true",
		Describe: "Pairs in ten bins of the probability that was said to them, against how many of " +
			"them are true. On the diagonal a probability means what it says. The table has the figures.",
		XTicks: x.ticks(tenths, plain), YTicks: y.ticks(tenths, plain),
		Lines: []Line{{Class: "ideal", Name: "as it should be", Path: "M0 1000L1000 0"}},
	}
	for _, b := range bins {
		if b.Pairs == 0 {
			continue
		}
		low, high := interval(b.Share(), b.Pairs)
		plot.Dots = append(plot.Dots, Dot{
			X: x.at(b.Mean), Y: y.at(b.Share()), Low: y.at(low), High: y.at(high), Radius: 5,
			Title: fmt.Sprintf("%.1f to %.1f: %s pairs, said %s, true %s", b.From, b.To,
				number(b.Pairs), percent(b.Mean), percent(b.Share())),
		})
	}
	return plot
}

func binRows(bins []match.Bin) []BinRow {
	most := 1
	for _, b := range bins {
		most = max(most, b.Pairs)
	}
	var rows []BinRow
	for i, b := range bins {
		high := math.Log1p(float64(b.Pairs)) / math.Log1p(float64(most))
		row := BinRow{
			Range: fmt.Sprintf("%.1f\u2013%.1f", b.From, b.To), Pairs: number(b.Pairs),
			Short: short(b.Pairs), At: side(float64(i)/10 + 0.01), Middle: side(float64(i)/10 + 0.05),
			Top: side(1 - high), Height: side(high),
		}
		if b.Pairs > 0 {
			low, high := interval(b.Share(), b.Pairs)
			row.Mean, row.Share = percent(b.Mean), percent(b.Share())
			row.Interval = fmt.Sprintf("%.1f\u2013%.1f%%", 100*low, 100*high)
		}
		rows = append(rows, row)
	}
	return rows
}
