package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/ftpalg/ftpalg/test/lab"
)

// Run runs the demonstration and writes its report to out. The gateway program
// is started as a command on the gateway host; it is ready when it logs
// "msg=ready". Run returns an error if a transfer succeeds without the program
// or fails with it. It leaves nothing behind, also when ctx ends.
func Run(ctx context.Context, out io.Writer, gateway []string) (err error) {
	n, err := build()
	if errors.Is(err, lab.ErrNotRoot) {
		return errors.New("the demo makes network namespaces, which needs root: run it again with sudo")
	}
	if err != nil {
		return fmt.Errorf("building the demo's network: %w", err)
	}
	defer func() { err = errors.Join(err, n.close()) }()
	r := &report{out: out}
	r.printf("%s\n", picture)

	r.printf("1. %d transfers without ftpalg ...\n", len(trials))
	without := n.tryAll(ctx, "without")
	r.printf("2. The same with ftpalg on the gateway ...\n\n")
	program, err := startProgram(ctx, n.gateway, gateway)
	if ctx.Err() != nil {
		return interrupted(ctx)
	}
	if err != nil {
		return err
	}
	with := n.tryAll(ctx, "with")
	stopped := program.stop()
	if ctx.Err() != nil {
		return interrupted(ctx)
	}
	r.table(without, with)
	if err := errors.Join(judge(without, with), stopped, r.err); err != nil {
		return fmt.Errorf("the demo did not go as it should:\n%w\n%s", err, program.logged())
	}
	r.printf("\nAll %d transfers failed without ftpalg and succeeded with it.\n", len(trials))
	return r.err
}

func interrupted(ctx context.Context) error {
	return fmt.Errorf("the demo was interrupted: %w", ctx.Err())
}

// tryAll runs all trials at once.
func (n *network) tryAll(ctx context.Context, phase string) []outcome {
	outcomes := make([]outcome, len(trials))
	var wg sync.WaitGroup
	for i, t := range trials {
		wg.Go(func() { outcomes[i] = n.try(ctx, t, phase) })
	}
	wg.Wait()
	return outcomes
}

// judge compares the outcomes with what they should be.
func judge(without, with []outcome) error {
	var errs []error
	for i, t := range trials {
		if without[i].err == nil {
			errs = append(errs, fmt.Errorf("%s: succeeded without ftpalg, so something else on this "+
				"machine helps FTP", t))
		}
		if err := with[i].err; err != nil {
			errs = append(errs, fmt.Errorf("%s: failed with ftpalg: %w", t, err))
		}
	}
	return errors.Join(errs...)
}
