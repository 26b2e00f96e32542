package main

import (
	"bytes"
	"context"
	"encoding/csv"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const linksConfig = `sites: [{key: acme}, {key: shop}]
links:
  - {name: spring, target: "https://acme.example/spring"}
  - {name: sale, target: "https://shop.example/sale", site: shop}
keys: [{id: k1, secret: 0123456789abcdef0123456789abcdef}]
`

// callLink runs the command on a configuration and returns its exit code and what it printed.
func callLink(t *testing.T, stdin string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	config := filepath.Join(t.TempDir(), "crumbtrail.yaml")
	if err := os.WriteFile(config, []byte(linksConfig), 0o600); err != nil {
		t.Fatal(err)
	}
	var out, errors bytes.Buffer
	args = append([]string{"link", "--config", config, "--data", t.TempDir()}, args...)
	code = run(context.Background(), args, strings.NewReader(stdin), &out, &errors)
	return code, out.String(), errors.String()
}

func TestLinkCommand(t *testing.T) {
	const contact = "0e4b5ce6-0000-5000-8000-000000000000"
	for _, c := range []struct {
		args string
		code int
		want []string // what each line of the output, or the error, begins with
	}{
		{"spring", 0, []string{"http://127.0.0.1:8080/r/spring\n"}},
		{"spring --url https://acme.example/e/", 0, []string{"https://acme.example/e/r/spring\n"}},
		{"spring --contact " + contact, 0, []string{"http://127.0.0.1:8080/r/spring?t=A"}},
		{"sale --site shop --email ada@x.example", 0, []string{"http://127.0.0.1:8080/r/sale?t=A"}},
		{"spring --campaign mail1", 0, []string{"http://127.0.0.1:8080/r/spring?t=A"}},
		{"--to https://x.example/ --expires 3h --pixel", 0, []string{
			"http://127.0.0.1:8080/l/A", "http://127.0.0.1:8080/o/A",
		}},
		{"--pixel --contact " + contact, 0, []string{"http://127.0.0.1:8080/o/A"}},
		{"winter", 1, []string{`crumbtrail link: no link in the configuration is called "winter"`}},
		{"--to javascript:alert(1)", 1, []string{`crumbtrail link: target "javascript:alert(1)"`}},
		{"spring --contact ada@x.example", 1, []string{`crumbtrail link: "ada@x.example" is no contact`}},
		{"spring --email ada", 1, []string{`crumbtrail link: "ada" is no e-mail address`}},
		{"spring --site shop", 2, []string{"crumbtrail link: --site: link spring is of site acme"}},
		{"--to https://x.example/ --site nowhere", 2, []string{`crumbtrail link: --site "nowhere"`}},
		{"spring --expires 0d", 2, []string{"crumbtrail link: --expires"}},
		{"spring --url x", 2, []string{"crumbtrail link: --url"}},
		{"spring --to https://x.example/", 2, []string{"crumbtrail link: want the name"}},
		{"", 2, []string{"crumbtrail link: want the name"}},
		{"spring --email a@x.example --contact " + contact, 2, []string{"crumbtrail link: want one of"}},
	} {
		code, stdout, stderr := callLink(t, "", strings.Fields(c.args)...)
		lines := strings.SplitAfter(strings.TrimSuffix(stdout+stderr, "\n")+"\n", "\n")
		ok := code == c.code && len(lines) == len(c.want)+1
		for i, want := range c.want {
			ok = ok && strings.HasPrefix(lines[i], want)
		}
		if !ok {
			t.Errorf("link %s: exit code %d\n%s%s", c.args, code, stdout, stderr)
		}
		if strings.Contains(stdout, "ada") {
			t.Errorf("link %s: the address is in it: %s", c.args, stdout)
		}
	}
}

func TestLinksOfRecipients(t *testing.T) {
	in := "\ufeffemail,name,contact_id\n" +
		"ada@x.example,\"King, Ada\",\n,Bob,0e4b5ce6-0000-5000-8000-000000000000\n"
	code, stdout, stderr := callLink(t, in, "spring", "--recipients", "-", "--pixel")
	all, err := csv.NewReader(strings.NewReader(stdout)).ReadAll()
	if code != exitDone || err != nil || len(all) != 3 {
		t.Fatalf("exit code %d, %v\n%s%s", code, err, stdout, stderr)
	}
	if got := fmt.Sprint(all[0]); got != "[email name contact_id link pixel]" {
		t.Errorf("header %s", got)
	}
	if all[1][1] != "King, Ada" || all[1][3] == all[2][3] ||
		!strings.Contains(all[1][3], "/r/spring?t=") || !strings.Contains(all[2][4], "/o/") {
		t.Errorf("rows %q", all[1:])
	}
	code, stdout, stderr = callLink(t, "Name,Email\nAda,ada@x.example\n", "spring",
		"--recipients", "-")
	if code != exitDone || !strings.HasPrefix(stdout, "Name,Email,link\nAda,ada@x.example,http") {
		t.Errorf("a header in capitals: exit code %d\n%s%s", code, stdout, stderr)
	}
	for in, want := range map[string]string{
		"":                           "want a header line",
		"name\nada\n":                "want a column contact_id or email",
		"email\na@x.example\n\"\"\n": "line 3 names nobody",
		"email\nnobody\n":            `line 2: "nobody" is no e-mail address`,
		"email,b\na@x.example\n":     "wrong number of fields",
	} {
		code, stdout, stderr := callLink(t, in, "spring", "--recipients", "-")
		if code != exitFailed || !strings.Contains(stderr, want) || strings.Contains(stdout, "/r/") {
			t.Errorf("%q: exit code %d\n%s%s", in, code, stdout, stderr)
		}
	}
}

// Links are made for where browsers reach the collector, as --url says, else mail.url, else here.
func TestPublicURL(t *testing.T) {
	mailed := &Config{Mail: &Mail{URL: "https://acme.example/e/"}}
	for _, c := range []struct {
		cfg        *Config
		base, want string
	}{
		{&Config{}, "", localURL},
		{mailed, "", "https://acme.example/e"},
		{mailed, "https://shop.example", "https://shop.example"},
		{&Config{}, "https://shop.example/", "https://shop.example"},
	} {
		if got, err := c.cfg.publicURL(c.base); err != nil || got != c.want {
			t.Errorf("publicURL(%q) = %q, %v; want %q", c.base, got, err, c.want)
		}
	}
}
