package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"time"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"
	"golang.org/x/term"

	"github.com/ftpalg/ftpalg/alg/replay"
)

const (
	bigFile = 32 << 20 // bytes from which on progress is shown
	// lastWords is how long after an interrupt what writes into the pipe may still end its capture.
	lastWords = time.Second
)

var errInterrupted = errors.New("interrupted")

// inspectAll inspects each capture; those that cannot be read are reported and do not stop the others.
func inspectAll(c *cobra.Command, args []string, o replay.Options, asJSON bool) error {
	ctx, stop := signal.NotifyContext(c.Context(), unix.SIGINT, unix.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends the program
	var errs []error
	for _, arg := range args {
		errs = append(errs, eachCapture(arg, func(name string, optional bool) error {
			if ctx.Err() != nil {
				return nil
			}
			return inspectOne(ctx, c, name, optional, o, asJSON)
		}))
	}
	return errors.Join(errs...)
}

// eachCapture calls do with a file, or with each regular file below a directory, which need not be a capture.
func eachCapture(name string, do func(name string, optional bool) error) error {
	if info, err := os.Stat(name); name == "-" || err != nil || !info.IsDir() {
		return do(name, false)
	}
	var errs []error
	err := filepath.WalkDir(name, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			errs = append(errs, fmt.Errorf("inspect %s: %w", printable([]byte(path)), unpathed(err)))
		} else if e.Type().IsRegular() {
			errs = append(errs, do(path, true))
		}
		return nil
	})
	return errors.Join(append(errs, err)...)
}

// inspectOne inspects a capture. Of one that is no capture nothing is told but the error.
func inspectOne(ctx context.Context, c *cobra.Command, name string, optional bool, o replay.Options,
	asJSON bool) error {
	shown := printable([]byte(name))
	in, done, err := openInput(ctx, c, name)
	if err != nil {
		return fmt.Errorf("inspect %s: %w", shown, unpathed(err))
	}
	defer done()
	out := &inspectOutput{w: c.OutOrStdout(), file: shown, live: name == "-"}
	observer := out.people()
	if asJSON {
		observer = out.json()
	}
	sum, err := replay.Run(in, o, observer)
	if ctx.Err() != nil {
		err = nil // it ends where it was interrupted
	}
	switch {
	case errors.Is(err, replay.ErrNoCapture) && optional:
		return nil
	case err != nil && sum.Frames == 0:
		return fmt.Errorf("inspect %s: %w", shown, err)
	case asJSON:
		out.sumJSON(sum)
	default:
		out.sum(sum)
	}
	if out.err != nil {
		return fmt.Errorf("write what was found: %w", out.err)
	}
	if err != nil {
		return fmt.Errorf("inspect %s: %w", shown, err)
	}
	return nil
}

// unpathed is an error without the name of the file, which may have any bytes.
func unpathed(err error) error {
	if p := (*fs.PathError)(nil); errors.As(err, &p) {
		return p.Err
	}
	return err
}

// openInput opens a file, or standard input for "-", and shows how far it is read if that takes long.
func openInput(ctx context.Context, c *cobra.Command, name string) (io.Reader, func(), error) {
	if name == "-" {
		return piped(ctx, c.InOrStdin()), func() {}, nil
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, nil, err
	}
	done := func() { _ = f.Close() }
	info, err := f.Stat()
	if err != nil {
		done()
		return nil, nil, err
	}
	if !info.Mode().IsRegular() {
		return piped(ctx, f), done, nil
	}
	in := io.Reader(&checked{ctx, f})
	if stderr, ok := c.ErrOrStderr().(*os.File); ok && info.Size() >= bigFile &&
		term.IsTerminal(int(stderr.Fd())) {
		bar := progressbar.DefaultBytes(info.Size(), printable([]byte(filepath.Base(name))))
		closeFile := done
		done = func() { _ = bar.Clear(); closeFile() }
		in = io.TeeReader(in, bar)
	}
	return in, done, nil
}

// checked reads until the context ends.
type checked struct {
	ctx context.Context
	r   io.Reader
}

func (c *checked) Read(b []byte) (int, error) {
	if c.ctx.Err() != nil {
		return 0, errInterrupted
	}
	return c.r.Read(b)
}

// piped reads what may keep a reader waiting. A moment after an interrupt it ends: the program
// that writes is interrupted by the same key and may have more to say.
func piped(ctx context.Context, r io.Reader) io.Reader {
	pr, pw := io.Pipe()
	go func() {
		_, err := io.Copy(pw, r)
		_ = pw.CloseWithError(err)
	}()
	context.AfterFunc(ctx, func() {
		time.AfterFunc(lastWords, func() { _ = pw.CloseWithError(errInterrupted) })
	})
	return pr
}
