package report

import (
	"fmt"
	"math"

	"crumbtrail/resolve/match"
)

// ThresholdRow is what one threshold gives.
type ThresholdRow struct {
	Threshold, Weight     string
	Pairs, Joined         string
	Precision, Recall, F1 string
	Used                  bool
}

// asked are the thresholds that tables and axes show.
func asked() []float64 { return []float64{0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.999, 0.9999} }

// weights is the axis of thresholds: even in weight, as probabilities crowd at both ends.
func (p *Page) weightScale() scale {
	return scale{from: p.curve[0].Weight, to: p.curve[len(p.curve)-1].Weight}
}

func (p *Page) thresholdPlot() Plot {
	x := p.weightScale()
	plot := Plot{XTitle: "threshold, as a probability"}
	for _, t := range asked() {
		if t != 0.75 && t != 0.95 && logit(t) >= x.from {
			tick := Tick{At: x.at(logit(t)), Label: fmt.Sprint(t)}
			if t == 0.25 {
				tick.Class = "wide" // it has no place on a phone
			}
			plot.XTicks = append(plot.XTicks, tick)
		}
	}
	plot.Marks = []Tick{{At: x.at(logit(p.in.Threshold)), Label: "used: " + p.ThresholdUsed}}
	if p.Truth != nil {
		p.qualityLines(&plot, x)
	} else {
		p.countLines(&plot, x)
	}
	return plot
}

func (p *Page) qualityLines(plot *Plot, x scale) {
	y := scale{from: 0, to: 1, down: true}
	plot.Title = "Precision and recall of pairs"
	plot.Describe = fmt.Sprintf("Precision rises and recall falls with the threshold. At %v: "+
		"precision %s, recall %s, F1 %s. The table below has the figures.", p.in.Threshold,
		p.Truth.Pairs.Precision, p.Truth.Pairs.Recall, p.Truth.Pairs.F1)
	plot.YTicks = y.ticks([]float64{0, 0.25, 0.5, 0.75, 1}, func(v float64) string {
		return fmt.Sprintf("%.0f%%", 100*v)
	})
	xs := make([]float64, len(p.curve))
	ys := [3][]float64{}
	for i, point := range p.curve {
		xs[i] = point.Weight
		q := p.quality(point)
		precision := q.Precision()
		if point.Pairs == 0 {
			precision = math.NaN()
		}
		for k, v := range []float64{precision, q.Recall(), q.F1()} {
			ys[k] = append(ys[k], v)
		}
	}
	for k, name := range []string{"precision", "recall", "F1"} {
		plot.Lines = append(plot.Lines, Line{
			Class: fmt.Sprint("series", k+1), Name: name, Path: path(x, y, xs, ys[k]),
		})
	}
}

func (p *Page) countLines(plot *Plot, x scale) {
	most := 0
	for _, point := range p.curve {
		most = max(most, point.Pairs, point.Joined)
	}
	values, end := steps(float64(most))
	y := scale{from: 0, to: end, down: true}
	plot.Title = "Pairs and duplicates found"
	plot.Describe = fmt.Sprintf("With a higher threshold fewer pairs are matches: %s at %v. The "+
		"table below has the figures.", number(p.found), p.in.Threshold)
	plot.YTicks = y.ticks(values, func(v float64) string { return short(int(v)) })
	var xs, pairs, joined []float64
	for _, point := range p.curve {
		xs = append(xs, point.Weight)
		pairs, joined = append(pairs, float64(point.Pairs)), append(joined, float64(point.Joined))
	}
	plot.Lines = []Line{
		{Class: "series1", Name: "pairs", Path: path(x, y, xs, pairs)},
		{Class: "series2", Name: "duplicate rows, were no merge refused", Path: path(x, y, xs, joined)},
	}
}

func (p *Page) quality(point match.Point) match.Quality {
	return match.Quality{True: p.truePairs, Found: point.Pairs, Right: point.Right}
}

// thresholdRows are the figures behind the plot.
func (p *Page) thresholdRows() []ThresholdRow {
	var rows []ThresholdRow
	last := p.curve[len(p.curve)-1]
	for _, t := range asked() {
		if t < p.curve[0].Probability-1e-9 {
			continue
		}
		point := last
		for k := len(p.curve) - 1; k >= 0 && p.curve[k].Weight > logit(t)-1e-9; k-- {
			point = p.curve[k]
		}
		q := p.quality(point)
		rows = append(rows, ThresholdRow{
			Threshold: fmt.Sprint(t), Weight: signed(logit(t)), Pairs: number(point.Pairs),
			Joined: number(point.Joined), Precision: percent(q.Precision()),
			Recall: percent(q.Recall()), F1: percent(q.F1()), Used: t == p.in.Threshold,
		})
	}
	return rows
}
