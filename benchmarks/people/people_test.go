package people

import (
	"encoding/csv"
	"reflect"
	"strconv"
	"strings"
	"testing"
)

func TestSameSeedSameRows(t *testing.T) {
	first := Make(Config{Rows: 500, Seed: 1})
	if !reflect.DeepEqual(first, Make(Config{Rows: 500, Seed: 1})) {
		t.Error("the same seed gave other rows")
	}
	if reflect.DeepEqual(first, Make(Config{Rows: 500, Seed: 2})) {
		t.Error("another seed gave the same rows")
	}
}

// TestWhatIsInIt holds that what makes matching hard is there: each within bounds, so that the rows
// stay what figures were measured with.
func TestWhatIsInIt(t *testing.T) {
	const rows = 20_000
	all := Make(Config{Rows: rows, Seed: 1})
	if len(all) != rows {
		t.Fatalf("%d rows", len(all))
	}
	seen := map[int]Row{}
	counts := map[string]int{}
	phones, families := map[string]int{}, map[string]map[string]bool{}
	born := map[string]int{} // by address and birth date, persons of other names
	for _, r := range all {
		f := r.Fields
		for at, name := range map[int]string{Email: "no e-mail", Phone: "no phone", Born: "no date"} {
			if f[at] == "" {
				counts[name]++
			}
		}
		if strings.HasPrefix(f[Email], "info@") {
			counts["mailbox of a function"]++
		}
		first, again := seen[r.Person]
		if again {
			counts["again"]++
			if strings.EqualFold(f[Given], first.Fields[Family]) {
				counts["swapped names"]++
			}
			if strings.ToLower(strings.TrimSpace(f[Given])) != first.Fields[Given] {
				counts["another given name"]++
			}
			continue
		}
		seen[r.Person] = r
		phones[f[Phone]]++
		home := f[Street] + f[City] + f[Family]
		if f[Street] != "" {
			if families[home] == nil {
				families[home] = map[string]bool{}
			}
			families[home][f[Given]] = true
		}
		if f[Born] != "" && f[Street] != "" {
			born[home+f[Born]]++
		}
	}
	for _, n := range phones {
		counts["switchboard"] += boolInt(n > 30 && n < 1000)
	}
	for _, given := range families {
		counts["household"] += boolInt(len(given) > 1)
	}
	for _, n := range born {
		counts["twins"] += boolInt(n > 1)
	}
	for name, want := range map[string][2]int{
		"again": {3800, 4200}, "no e-mail": {1500, 2500}, "no phone": {2000, 3500},
		"no date": {2800, 4200}, "mailbox of a function": {200, 1500}, "swapped names": {40, 400},
		"another given name": {500, 2000}, "switchboard": {3, 60}, "household": {1500, 4000},
		"twins": {100, 800},
	} {
		if counts[name] < want[0] || counts[name] > want[1] {
			t.Errorf("%s: %d, want %d to %d", name, counts[name], want[0], want[1])
		}
	}
}

func boolInt(b bool) int {
	if b {
		return 1
	}
	return 0
}

func TestCSV(t *testing.T) {
	var b strings.Builder
	if err := CSV(&b, Config{Rows: 50, Seed: 3}); err != nil {
		t.Fatal(err)
	}
	rows, err := csv.NewReader(strings.NewReader(b.String())).ReadAll()
	if err != nil || len(rows) != 51 || len(rows[0]) != columns+1 || rows[0][0] != Truth {
		t.Fatalf("%d rows under %v: %v", len(rows), rows[0], err)
	}
	for i, r := range Make(Config{Rows: 50, Seed: 3}) {
		if rows[i+1][0] != strconv.Itoa(r.Person) || rows[i+1][Email+1] != r.Fields[Email] {
			t.Errorf("row %d is %v, want %v", i, rows[i+1], r)
		}
	}
}
