package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"crumbtrail/ingest/spill"
	"crumbtrail/internal/datadir"
	"crumbtrail/internal/kafka"
	"crumbtrail/internal/strictyaml"
	"crumbtrail/schemas"
	"crumbtrail/score"
)

// runCheck is `crumbtrail check`.
func runCheck(ctx context.Context, c *call) error {
	c.clusterFlags()
	c.listenFlags()
	if err := c.parseAlone(); err != nil {
		return err
	}
	clean := check(ctx, checkOptions{
		config: c.config, data: c.data, brokers: splitList(c.brokers),
		listen: c.listen, adminListen: c.adminListen,
		world: surroundings{
			free: freeBytes, listen: listenOnce, model: modelName, partitions: partitionsOn,
		},
	}, c.stdout)
	if !clean {
		return &reportedError{}
	}
	return nil
}

// checkOptions say what to check.
type checkOptions struct {
	config, data        string
	brokers             []string
	listen, adminListen string
	world               surroundings
}

// surroundings are what check asks of the machine and of others.
type surroundings struct {
	// free returns the bytes that may still be written to the file system of an existing path.
	free func(path string) (uint64, error)
	// listen returns why an address cannot be listened on.
	listen func(address string) error
	// model parses a scoring model and returns its name.
	model func(file string, text []byte) (string, error)
	// partitions returns how many partitions a topic has on a cluster, 0 where it is missing.
	partitions func(ctx context.Context, cfg kafka.Config, topic schemas.Topic) (int, error)
}

const (
	// brokerTimeout bounds the question whether a cluster is there.
	brokerTimeout = 5 * time.Second
	// leastFree is the disk space below which check speaks up, in bytes.
	leastFree = 1 << 30
	// brokerDir is where the embedded broker keeps its files, in the data directory.
	brokerDir = "broker"
)

// check reports everything wrong with the configuration and its surroundings, one line each, and
// whether that is nothing. It opens nothing for longer than a look and makes nothing.
func check(ctx context.Context, o checkOptions, out io.Writer) (clean bool) {
	cfg, doc, problems := readConfig(o.config)
	k := checker{o: o, cfg: cfg, doc: doc, problems: problems}
	if _, err := os.Stat(o.config); errors.Is(err, fs.ErrNotExist) {
		k.note("no configuration at %s: defaults hold", o.config)
	}
	if len(problems) == 0 {
		k.sites()
		k.proxies()
		k.country()
		k.keys()
		k.webhooks()
		k.strategies()
	}
	models := k.models()
	holder, held := k.directory()
	k.disk()
	k.spill()
	k.addresses(held)
	k.topics(ctx, holder, held)
	for _, p := range k.problems {
		fmt.Fprintln(out, p)
	}
	for _, note := range k.notes {
		fmt.Fprintln(out, "note:", note)
	}
	if n := len(k.problems); n > 0 {
		fmt.Fprintf(out, "%s\n", plural(n, "problem"))
		return false
	}
	fmt.Fprintf(out, "everything is fine: %s, %s, %s\n", plural(len(cfg.Sites), "site"),
		plural(cfg.Topics.Partitions, "partition"), modelsFound(models))
	return true
}

func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

func modelsFound(n int) string {
	if n == 0 {
		return "the scoring model that is shipped"
	}
	return plural(n, "scoring model")
}

// checker gathers what there is to say: problems end in exit 1, notes do not.
type checker struct {
	o        checkOptions
	cfg      Config
	doc      *strictyaml.Document
	problems Problems
	notes    []string
}

// problem adds a problem with something that is not in the configuration file.
func (k *checker) problem(where, hint, format string, args ...any) {
	k.problems = append(k.problems,
		Problem{Path: where, Message: fmt.Sprintf(format, args...), Hint: hint})
}

func (k *checker) note(format string, args ...any) {
	k.notes = append(k.notes, fmt.Sprintf(format, args...))
}

func (k *checker) sites() {
	for _, s := range k.cfg.Sites {
		if len(s.Origins) == 0 && !s.AnyLoopback {
			k.note("site %s has no origins: it takes beacons of servers, not of browsers", s.Key)
		}
		k.consent(&s)
	}
}

func (k *checker) country() {
	if _, err := k.cfg.countries(); err != nil {
		k.problems = append(k.problems,
			k.doc.Problem("country.file", errors.Unwrap(err).Error(), countryHint))
	}
}

func (k *checker) proxies() {
	for _, n := range k.cfg.TrustedProxies {
		if n.Bits() == 0 {
			k.note("trusted_proxies has %s: whoever sends can say that it is any other address", n)
		}
	}
}

// keys reads the files that secrets are in.
func (k *checker) keys() {
	if len(k.cfg.Keys) == 0 {
		signs := len(k.cfg.Links) > 0 ||
			slices.ContainsFunc(k.cfg.Forms, func(f Form) bool { return f.DoubleOptIn != nil })
		if signs && len(k.o.brokers) > 0 {
			k.note("there are no keys: what one collector signs, others do not know")
		}
		return
	}
	if _, err := k.cfg.tokenKeys(k.o.data); err != nil {
		k.problem("keys", "make a secret with `openssl rand -hex 32`", "%v", err)
	}
}

func (k *checker) webhooks() {
	if _, err := k.cfg.handoffConfig(); err != nil {
		k.problem("handoffs.webhooks", "make one with `echo whsec_$(openssl rand -base64 32)`", "%v", err)
	}
}

// models parses every scoring model and returns how many there are.
func (k *checker) models() int {
	files, err := modelFiles(k.cfg.Models)
	// That there is no directory LoadConfig has reported, where the file names it.
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		k.problem("models", "", "%v", err)
	}
	names := map[string]string{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			k.problem("models", "", "%v", err)
			continue
		}
		name, err := k.o.world.model(file, text)
		var inside Problems
		switch {
		case errors.As(err, &inside):
			k.problems = append(k.problems, inside...)
		case err != nil:
			k.problems = append(k.problems, Problem{File: file, Message: err.Error()})
		case names[name] != "":
			k.problems = append(k.problems, Problem{
				File: file, Message: fmt.Sprintf("model %q is also in %s", name, names[name]),
				Hint: "rename one, or keep one version",
			})
		default:
			names[name] = file
		}
	}
	known := slices.Sorted(maps.Keys(names))
	if len(files) == 0 {
		known = []string{score.Default().Name}
	}
	if len(names) == len(files) { // else it may be one of the others
		k.problems = append(k.problems, k.cfg.webhookModels(k.doc, known)...)
	}
	return len(files)
}

// modelFiles lists the scoring models of a directory, by name.
func modelFiles(dir string) (files []string, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	for _, entry := range entries {
		kind := filepath.Ext(entry.Name())
		if !entry.IsDir() && slices.Contains([]string{".yaml", ".yml", ".json"}, kind) {
			files = append(files, filepath.Join(dir, entry.Name()))
		}
	}
	return files, nil
}

// directory looks at the data directory and says who runs on it.
func (k *checker) directory() (holder datadir.Holder, held bool) {
	exists, err := existing(k.o.data)
	if err != nil {
		k.problem("--data", "name another directory", "%v", err)
		return holder, false
	}
	if unix.Access(exists, unix.W_OK|unix.X_OK) != nil {
		k.problem("--data", "give it to the user that runs crumbtrail, or name another directory",
			"directory %s cannot be written to", exists)
	}
	if holder, held = datadir.HolderOf(k.o.data); held {
		k.note("`crumbtrail %s` (pid %d) runs on %s", holder.Command, holder.PID, k.o.data)
	}
	return holder, held
}

// existing returns the path, or the nearest directory above it that exists.
func existing(path string) (string, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	for {
		info, err := os.Stat(path)
		switch {
		case err == nil && !info.IsDir():
			return "", fmt.Errorf("%s is no directory", path)
		case err == nil:
			return path, nil
		case !errors.Is(err, fs.ErrNotExist) || path == filepath.Dir(path):
			return "", err
		}
		path = filepath.Dir(path)
	}
}

func (k *checker) disk() {
	exists, err := existing(k.o.data)
	if err != nil {
		return // directory has reported it
	}
	free, err := k.o.world.free(exists)
	switch {
	case err != nil:
		k.problem("--data", "", "free space of %s: %v", exists, err)
	case free < leastFree:
		k.note("only %d MB are free for %s: beacons are refused once the disk is full",
			free>>20, k.o.data)
	}
}

// spill looks at what waits on disk for Kafka.
func (k *checker) spill() {
	if _, err := existing(k.o.data); err != nil {
		return // directory has reported it
	}
	report, err := spill.Inspect(spill.Directory(filepath.Join(k.o.data, spillDir)), nil)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return
	case err != nil:
		k.problem("--data", "", "%v", err)
	case report.Corrupt():
		k.problem("--data", "see what `crumbtrail spill verify` says",
			"something in the spill of %s does not verify", k.o.data)
	}
	if records := report.Waiting(); records > 0 {
		k.note("%s in the spill until Kafka takes them", plural(records, "record"))
	}
}

// addresses asks whether the listeners can be opened. Where stages run on the directory already,
// it is most likely theirs that are taken.
func (k *checker) addresses(held bool) {
	if k.o.listen == k.o.adminListen && !strings.HasSuffix(k.o.listen, ":0") {
		k.problem("--admin-listen", "choose another port", "%q is the address of --listen",
			k.o.adminListen)
		return
	}
	for _, l := range []struct{ flag, address string }{
		{"--listen", k.o.listen}, {"--admin-listen", k.o.adminListen},
	} {
		flag, address := l.flag, l.address
		if err := checkAddress(address); err != nil {
			k.problem(flag, "write host:port, such as 127.0.0.1:8080", "%v", err)
			continue
		}
		err := k.o.world.listen(address)
		switch {
		case err == nil:
		case held && errors.Is(err, unix.EADDRINUSE):
			k.note("%s %s is in use, probably by the process above", flag, address)
		default:
			k.problem(flag, "stop what listens there, or choose another port", "%v", err)
		}
	}
}

// checkAddress says what is wrong with a host:port to listen on.
func checkAddress(address string) error {
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return fmt.Errorf("%q is no host:port", address)
	}
	if n, err := strconv.Atoi(port); err != nil || n < 0 || n > 65535 {
		return fmt.Errorf("%q has no valid port", address)
	}
	return nil
}

// topics asks the cluster, or the files of the embedded broker, for the layout that is there.
func (k *checker) topics(ctx context.Context, holder datadir.Holder, held bool) {
	brokers := k.o.brokers
	if len(brokers) == 0 && held {
		brokers = holder.Brokers
	}
	var there int
	var err error
	if len(brokers) == 0 {
		there, err = kafka.PartitionsAtRest(filepath.Join(k.o.data, brokerDir),
			k.cfg.Topics.Prefix+string(schemas.Beacons))
	} else {
		there, err = k.ask(ctx, brokers)
	}
	switch {
	case err != nil && len(brokers) > 0:
		k.problem("--brokers", "start the cluster, or name others", "%s: %v",
			strings.Join(brokers, ","), err)
	case err != nil:
		k.problem("--data", "", "%v", err)
	case there != 0 && there != k.cfg.Topics.Partitions:
		k.problems = append(k.problems, k.doc.Problem("topics.partitions",
			fmt.Sprintf("%d, but the topic beacons has %d and a key's state would not move with it",
				k.cfg.Topics.Partitions, there),
			fmt.Sprintf("set it to %d, or start with another data directory", there)))
	}
}

func (k *checker) ask(ctx context.Context, brokers []string) (int, error) {
	var cfg kafka.Config
	if len(k.o.brokers) > 0 { // an embedded broker asks for no sign-in
		var err error
		if cfg, err = k.cfg.Kafka.security(); err != nil {
			return 0, err
		}
	}
	cfg.Brokers, cfg.ClientID, cfg.Prefix = brokers, "crumbtrail-check", k.cfg.Topics.Prefix
	ctx, cancel := context.WithTimeout(ctx, brokerTimeout)
	defer cancel()
	return k.o.world.partitions(ctx, cfg, schemas.Beacons)
}

func freeBytes(path string) (uint64, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(path, &st); err != nil {
		return 0, err
	}
	return st.Bavail * uint64(st.Bsize), nil
}

func listenOnce(address string) error {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	return l.Close()
}

func modelName(file string, text []byte) (string, error) {
	m, err := score.ParseModel(file, text)
	if err != nil {
		return "", err
	}
	return m.Name, nil
}

func partitionsOn(ctx context.Context, cfg kafka.Config, topic schemas.Topic) (int, error) {
	client, err := kafka.Dial(cfg)
	if err != nil {
		return 0, err
	}
	defer client.Close()
	n, err := client.Partitions(ctx, string(topic))
	if errors.Is(err, kafka.ErrNoTopic) {
		return 0, nil
	}
	return n, err
}
