package report

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// number is a count with commas between thousands.
func number(n int) string {
	digits := strconv.Itoa(n)
	for at := len(digits) - 3; at > 0 && digits[at-1] != '-'; at -= 3 {
		digits = digits[:at] + "," + digits[at:]
	}
	return digits
}

// short is a count in at most five characters: 950, 1.2k, 48k, 3.1M, 4.2bn.
func short(n int) string {
	x := float64(n)
	for _, unit := range []string{"", "k", "M", "bn"} {
		switch {
		case unit == "" && n < 1000:
			return strconv.Itoa(n)
		case x < 9.95:
			return strings.TrimSuffix(fmt.Sprintf("%.1f", x), ".0") + unit
		case x < 999.5:
			return fmt.Sprintf("%.0f", x) + unit
		}
		x /= 1000
	}
	return number(n)
}

// percent is a share in per cent, with one digit behind the point where it is neither 0 nor 1.
func percent(share float64) string {
	switch p := 100 * share; {
	case share == 0 || share == 1:
		return fmt.Sprintf("%.0f%%", p)
	case p < 0.1:
		return "<0.1%"
	case p > 99.9:
		return ">99.9%"
	default:
		return fmt.Sprintf("%.1f%%", p)
	}
}

// oneIn is a small share as its reciprocal, a great one in per cent.
func oneIn(share float64) string {
	if share > 0.1 || share <= 0 {
		return percent(share)
	}
	n := 1 / share
	if n < 1000 {
		return fmt.Sprintf("1 in %.0f", n)
	}
	return "1 in " + short(int(math.Round(n)))
}

// signed is a weight with its sign and one digit; minus is the sign of typesetters.
func signed(weight float64) string {
	text := fmt.Sprintf("%+.1f", weight)
	if math.IsInf(weight, 0) {
		text = text[:1] + "∞"
	}
	if text == "+0.0" || text == "-0.0" {
		return "0.0"
	}
	return strings.Replace(text, "-", "\u2212", 1)
}

// probability is a probability with as many digits as tell it from 0 and 1.
func probability(p float64) string {
	switch {
	case p > 0.99995:
		return ">0.9999"
	case p < 0.0001:
		return "<0.0001"
	case p > 0.99 || p < 0.01:
		return fmt.Sprintf("%.4f", p)
	}
	return fmt.Sprintf("%.3f", p)
}

// logit is the weight of a probability, in bits.
func logit(p float64) float64 { return math.Log2(p) - math.Log2(1-p) }

// interval is the range, of 95 % confidence, of a share that was seen in n cases (Wilson 1927).
func interval(share float64, n int) (low, high float64) {
	const z = 1.96
	if n == 0 {
		return 0, 1
	}
	cases := float64(n)
	centre := share + z*z/(2*cases)
	half := z * math.Sqrt(share*(1-share)/cases+z*z/(4*cases*cases))
	all := 1 + z*z/cases
	return max(0, (centre-half)/all), min(1, (centre+half)/all)
}
