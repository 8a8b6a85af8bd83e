package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"

	"golang.org/x/sys/unix"

	"github.com/ftpalg/ftpalg/test/bench/internal/engine"
	"github.com/ftpalg/ftpalg/test/bench/internal/profile"
	"github.com/ftpalg/ftpalg/test/bench/internal/report"
)

type options struct {
	quick  bool
	rounds int
	before string
	write  string
	rows   string

	profile bool
}

func main() {
	var o options
	flag.BoolVar(&o.quick, "quick", false, "three minutes: fewer rounds, shorter samples, no plots")
	flag.IntVar(&o.rounds, "rounds", 0, "rounds (default 7, or 4 with -quick)")
	flag.StringVar(&o.before, "ftpalg", "", "another ftpalg `binary` to compare with that of this tree")
	flag.StringVar(&o.write, "write", "", "`directory` for RESULTS.md and the plots")
	flag.StringVar(&o.rows, "rows", "", "only rows and plots whose name matches this regular `expression`")
	flag.BoolVar(&o.profile, "profile", false,
		"tell where the processor time of F goes (needs perf, and costs time)")
	flag.Parse()
	if o.rounds == 0 {
		o.rounds = 7
		if o.quick {
			o.rounds = 4
		}
	}
	ctx, cancel := signal.NotifyContext(context.Background(), unix.SIGINT, unix.SIGTERM)
	defer cancel()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options) (err error) {
	dir, err := os.MkdirTemp("", "ftpalg-bench-")
	if err != nil {
		return fmt.Errorf("making a place for binaries and logs: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	b := &bench{options: o, ctx: ctx, dir: dir}
	defer func() { err = errors.Join(err, b.close()) }()
	if err := b.start(); err != nil {
		return err
	}
	if err := b.measure(); err != nil {
		return err
	}
	var plots string
	if o.write != "" && !o.quick && !o.profile {
		if plots, err = b.plots(); err != nil {
			return err
		}
	}
	fmt.Print("\n" + b.table.Text() + plots + b.stacks.Text())
	switch {
	case o.write == "":
		return nil
	case o.profile:
		text := report.Profile(b.stacks.Text(), machine(), o.rounds)
		if err := os.WriteFile(filepath.Join(o.write, "PROFILE.md"), []byte(text), 0o644); err != nil {
			return fmt.Errorf("writing the profile: %w", err)
		}
		return nil
	}
	text := report.Document(b.table.Text(), machine(), o.rounds, plots)
	if err := os.WriteFile(filepath.Join(o.write, "RESULTS.md"), []byte(text), 0o644); err != nil {
		return fmt.Errorf("writing the results: %w", err)
	}
	return nil
}

// bench is one run.
type bench struct {
	options
	ctx     context.Context
	dir     string
	engines []*engine.Engine
	table   report.Table
	only    *regexp.Regexp // the rows and plots that are wanted
	configs map[string]engine.Config
	stacks  profile.Profile
}

// start builds what is compared and starts it.
func (b *bench) start() error {
	root, err := treeRoot()
	if err != nil {
		return err
	}
	program := filepath.Join(b.dir, "ftpalg")
	if err := b.tool(root, "go", "build", "-trimpath", "-o", program, "./cmd/ftpalg"); err != nil {
		return fmt.Errorf("building ftpalg: %w", err)
	}
	configs := []engine.Config{{Name: "F", Kind: engine.Program, Binary: program}}
	if b.before != "" {
		path, err := filepath.Abs(b.before)
		if err != nil {
			return err
		}
		configs = append(configs, engine.Config{Name: "B", Kind: engine.Program, Binary: path})
	}
	accept := filepath.Join(b.dir, "accept")
	source := filepath.Join(root, "test/bench/accept/accept.c")
	if err := b.tool(root, "cc", "-O2", "-o", accept, source, "-lnetfilter_queue"); err != nil {
		b.table.Note("Q is MISSING: it needs a C compiler and libnetfilter-queue-dev: %v", err)
	} else {
		configs = append(configs, engine.Config{Name: "Q", Kind: engine.Accept, Binary: accept})
	}
	configs = append(configs,
		engine.Config{Name: "K", Kind: engine.Kernel}, engine.Config{Name: "N", Kind: engine.Nothing})
	b.configs = map[string]engine.Config{}
	for _, c := range configs {
		c.Dir = b.dir
		b.configs[c.Name] = c
		e, err := engine.Start(b.ctx, c)
		if err != nil && c.Kind == engine.Kernel {
			b.table.Note("K is MISSING: this kernel has no FTP helper: %v", err)
			continue
		}
		if err != nil {
			return err
		}
		b.engines = append(b.engines, e)
	}
	return nil
}

// tool runs a program of the build.
func (b *bench) tool(dir, name string, args ...string) error {
	cmd := exec.CommandContext(b.ctx, name, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", name, err, out)
	}
	return nil
}

// treeRoot is the directory of the main module.
func treeRoot() (string, error) {
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/ftpalg/ftpalg").Output()
	if err != nil {
		return "", fmt.Errorf("looking for the tree (run it with `go -C test/bench run .`): %w", err)
	}
	return string(out[:len(out)-1]), nil
}

func (b *bench) close() error {
	var errs []error
	for _, e := range b.engines {
		errs = append(errs, e.Close())
	}
	return errors.Join(errs...)
}
