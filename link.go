package main

import (
	"bufio"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"crumbtrail/ingest"
	"crumbtrail/internal/strictyaml"
	"crumbtrail/internal/token"
	"crumbtrail/resolve/attribute"
	"crumbtrail/schemas"
)

// linkFlags are those of `crumbtrail link`.
type linkFlags struct {
	base, to, site, contact, email, expires, recipients string
	campaign                                            schemas.Campaign
	pixel                                               bool
}

func (f *linkFlags) add(c *call) {
	c.flags.StringVar(&f.to, "to", "", "sign this target, instead of naming a link")
	c.flags.StringVar(&f.contact, "contact", "", "for whom: a contact_id of the view contacts")
	c.flags.StringVar(&f.email, "email", "", "for whom: an e-mail address, which nobody can read in "+
		"the link")
	c.flags.StringVar(&f.recipients, "recipients", "", "for whom: a CSV file, or - for standard "+
		"input, with a column contact_id or email; it comes out with the column link")
	c.flags.StringVar(&f.campaign.Name, "campaign", "", "utm_campaign of the click and the target")
	c.flags.StringVar(&f.campaign.Source, "source", "", "utm_source of them")
	c.flags.StringVar(&f.campaign.Medium, "medium", "", "utm_medium of them; email, where there is "+
		"another one")
	c.flags.StringVar(&f.expires, "expires", "180d", "how long it says who it is for, and how long a "+
		"target of --to is led to")
	c.flags.BoolVar(&f.pixel, "pixel", false, "print a pixel that says that a mail was opened, too")
	c.flags.StringVar(&f.site, "site", "", "whose site's it is; a named link's own, or the first")
	c.flags.StringVar(&f.base, "url", "", "where browsers reach the collector; default: mail.url of "+
		"the configuration, else "+localURL)
}

// runLink prints links that lead through the collector, each for one recipient or for nobody.
func runLink(ctx context.Context, c *call) error {
	var f linkFlags
	f.add(c)
	if err := c.parse(); err != nil {
		return err
	}
	if err := f.check(c.args); err != nil {
		return err
	}
	cfg, problems := LoadConfig(c.config)
	if len(problems) > 0 {
		return problems
	}
	m, err := f.maker(&cfg, c.args)
	if err != nil {
		return err
	}
	if m.keys, err = cfg.tokenKeys(c.data); err != nil {
		return fmt.Errorf("%w; start the collector on the directory once, or add keys to %s", err,
			c.config)
	}
	if f.recipients != "" {
		return m.list(ctx, f.recipients, c.stdin, c.stdout)
	}
	link, pixel, err := m.make(f.contact, f.email)
	if err != nil {
		return err
	}
	for _, line := range []string{link, pixel} {
		if line != "" {
			fmt.Fprintln(c.stdout, line)
		}
	}
	return nil
}

// check refuses flags that contradict each other.
func (f *linkFlags) check(args []string) error {
	recipients := 0
	for _, given := range []string{f.contact, f.email, f.recipients} {
		if given != "" {
			recipients++
		}
	}
	switch {
	case len(args) > 1, len(args) == 1 && f.to != "":
		return usagef("want the name of one link, or --to")
	case len(args) == 0 && f.to == "" && !f.pixel:
		return usagef("want the name of a link, or --to URL, or --pixel")
	case recipients > 1:
		return usagef("want one of --contact, --email and --recipients")
	}
	return nil
}

// linkMaker makes links of one kind.
type linkMaker struct {
	keys *token.Keys
	base string
	// of is what all links have in common. It leads nowhere where only pixels are wanted.
	of      *schemas.SignedLink
	pixel   bool
	expires time.Time
}

// maker reads what flags and configuration say of the links.
func (f *linkFlags) maker(cfg *Config, args []string) (*linkMaker, error) {
	base, err := cfg.publicURL(f.base)
	if err != nil {
		return nil, err
	}
	life, err := strictyaml.ParseDuration(f.expires)
	if err != nil || life <= 0 {
		return nil, usagef("--expires %q: want a duration such as 90d", f.expires)
	}
	of := &schemas.SignedLink{Target: f.to, Site: cfg.Sites[0].Key}
	if f.site != "" {
		if !slices.ContainsFunc(cfg.Sites, func(s Site) bool { return s.Key == f.site }) {
			return nil, usagef("--site %q is not in the configuration", f.site)
		}
		of.Site = f.site
	}
	if len(args) == 1 {
		at := slices.IndexFunc(cfg.Links, func(l Link) bool { return l.Name == args[0] })
		if at < 0 {
			return nil, fmt.Errorf("no link in the configuration is called %q: add it to links, or sign "+
				"its target with --to", args[0])
		}
		if f.site != "" && f.site != cfg.Links[at].Site {
			return nil, usagef("--site: link %s is of site %s", args[0], cfg.Links[at].Site)
		}
		of.Link, of.Site = cfg.Links[at].Name, cfg.Links[at].Site
	}
	if c := &f.campaign; c.Name != "" || c.Source != "" || c.Medium != "" {
		of.Campaign = &schemas.Campaign{Name: c.Name, Source: c.Source, Medium: c.Medium}
		if c.Medium == "" {
			of.Campaign.Medium = "email"
		}
	}
	return &linkMaker{base: base, of: of, pixel: f.pixel, expires: time.Now().Add(life)}, nil
}

// make returns the link and the pixel of a recipient, empty where they are not wanted. A named link
// that says nothing needs no token.
func (m *linkMaker) make(contact, email string) (link, pixel string, err error) {
	if err := checkRecipient(contact, email); err != nil {
		return "", "", err
	}
	m.of.ContactId, m.of.Email = contact, email
	switch {
	case m.of.Link != "" && contact == "" && email == "" && m.of.Campaign == nil:
		link = m.base + "/r/" + m.of.Link
	case m.of.Link != "" || m.of.Target != "":
		path, err := ingest.LinkPath(m.keys, m.of, m.expires)
		if err != nil {
			return "", "", err
		}
		link = m.base + path
	}
	if m.pixel {
		path, err := ingest.OpenPath(m.keys, m.of, m.expires)
		if err != nil {
			return "", "", err
		}
		pixel = m.base + path
	}
	return link, pixel, nil
}

func checkRecipient(contact, email string) error {
	switch {
	case contact != "" && !schemas.IsID(contact):
		return fmt.Errorf("%q is no contact_id: want one of the view contacts, all of it", contact)
	case email != "" && attribute.NormaliseEmail(email, true).Address == "":
		return fmt.Errorf("%q is no e-mail address", email)
	}
	return nil
}

// list copies a CSV file of recipients and adds their links. It ends at the first line that names
// nobody: a mailing with some links missing helps nobody.
func (m *linkMaker) list(ctx context.Context, file string, stdin io.Reader, to io.Writer) error {
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return err
		}
		defer f.Close()
		stdin = f
	}
	in, out := csv.NewReader(bufio.NewReader(stdin)), csv.NewWriter(bufio.NewWriterSize(to, 1<<16))
	in.ReuseRecord = true
	header, err := in.Read()
	if err != nil {
		return fmt.Errorf("recipients: want a header line: %w", err)
	}
	header[0] = strings.TrimPrefix(header[0], "\ufeff") // as spreadsheets write it
	column := func(name string) int {
		return slices.IndexFunc(header, func(s string) bool {
			return strings.EqualFold(strings.TrimSpace(s), name)
		})
	}
	contact, email := column("contact_id"), column("email")
	if contact < 0 && email < 0 {
		return fmt.Errorf("recipients: want a column contact_id or email, separated by commas, got %q",
			header)
	}
	write := func(record []string, link, pixel string) {
		if m.of.Link != "" || m.of.Target != "" {
			record = append(record, link)
		}
		if m.pixel {
			record = append(record, pixel)
		}
		_ = out.Write(record) // Error tells of it
	}
	write(header, "link", "pixel")
	for ctx.Err() == nil && out.Error() == nil {
		record, err := in.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return fmt.Errorf("recipients: %w", err)
		}
		line, _ := in.FieldPos(0)
		id, address := field(record, contact), field(record, email)
		if id != "" {
			address = ""
		} else if address == "" {
			return fmt.Errorf("recipients: line %d names nobody", line)
		}
		link, pixel, err := m.make(id, address)
		if err != nil {
			return fmt.Errorf("recipients: line %d: %w", line, err)
		}
		write(record, link, pixel)
	}
	out.Flush()
	return errors.Join(ctx.Err(), out.Error())
}

// field is the text in a column, empty where there is no such column.
func field(record []string, column int) string {
	if column < 0 {
		return ""
	}
	return strings.TrimSpace(record[column])
}
