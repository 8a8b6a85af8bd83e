package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync/atomic"
	"time"

	"github.com/ftpalg/ftpalg/cmd/ftpalg/internal/api"
	"github.com/ftpalg/ftpalg/cmd/ftpalg/internal/build"
	"github.com/ftpalg/ftpalg/cmd/ftpalg/internal/config"
	"github.com/ftpalg/ftpalg/cmd/ftpalg/internal/metrics"
	"github.com/ftpalg/ftpalg/cmd/ftpalg/internal/transfers"
	"github.com/ftpalg/ftpalg/cmd/ftpalg/internal/webconfig"
	"github.com/ftpalg/ftpalg/conntrack"
	"github.com/ftpalg/ftpalg/conntrack/probe"
	"github.com/ftpalg/ftpalg/conntrack/ruleset"
)

const (
	// queueLen is how many packets may wait. Control connections are slow.
	queueLen = 8192
	// readBuffer must hold them in the kernel's accounting, or they pass unseen.
	readBuffer = 16 << 20
	// batch is how many packets are taken at once.
	batch = 64
	// ownExpectations of the helper that is registered: one in use and one that
	// takes its place, for each control connection.
	ownExpectations = 2
)

// program is the running gateway with all that it holds.
type program struct {
	sources config.Sources
	config  config.Config
	choice  probe.Choice
	signals chan os.Signal

	workers  []*worker
	rules    *ruleset.Table
	watch    *ruleset.Watch
	logTo    io.Writer
	log      *slog.Logger
	level    *slog.LevelVar
	hub      api.Hub
	unseen   unseen
	super    *supervisor
	listener *conntrack.Listener // of events; nil: they are off
	own      []uint32            // netlink port ids of our own requests

	guard      *webconfig.Guard // of what is served; nil: nothing is
	transfers  *transfers.Log   // nil: they are not logged
	started    time.Time
	served     atomic.Pointer[[]uint16] // the ports, for other goroutines
	eventsLost *atomic.Uint64

	takeOver    bool           // from a process that has the table
	bare        bool           // there were no rules before: packets may have gone by
	queueNumber uint16         // of the first worker: the configured one, but for a takeover
	undo        []func() error // what ends the program, the last first
}

// start does everything up to the first packet. If it fails it leaves nothing behind.
// takeOver takes the table and the sessions from a process that runs.
func start(src config.Sources, logTo io.Writer, takeOver bool) (*program, error) {
	c, err := src.Load()
	if err != nil {
		return nil, err
	}
	p := &program{sources: src, config: c, logTo: logTo, level: &slog.LevelVar{}, takeOver: takeOver,
		started: time.Now()}
	p.level.Set(c.Log.Level)
	p.log = newLogger(logTo, c.Log.JSON, p.level)
	if p.super, err = newSupervisor(p.log); err != nil {
		return nil, err
	}
	if err := p.setUp(); err != nil {
		return nil, errors.Join(err, p.close())
	}
	return p, nil
}

func (p *program) setUp() error {
	p.catchSignals()
	if err := p.choose(); err != nil {
		return err
	}
	if err := p.openRules(); err != nil {
		return err
	}
	if err := p.openWorkers(); err != nil {
		return err
	}
	if err := p.findQueues(); err != nil {
		return err
	}
	info := build.Read(version)
	m := metrics.New(p.counts(), p.queueStats, info)
	m.Unseen(func() (uint64, error) { return countUnseen(p) })
	ports := p.config.Ports
	p.served.Store(&ports)
	if err := errors.Join(p.openEvents(&m.EventsLost), openTransfers(p, m)); err != nil {
		return err
	}
	p.makeLoops(m)
	if err := p.serveMetrics(m, info); err != nil {
		return err
	}
	if err := p.watchRules(); err != nil {
		return err
	}
	m.Rules(&p.watch.Stats)
	m.Kernel(kernelLimits())
	// The rules come when there is a program on the queue.
	p.undo = append(p.undo, p.removeRules)
	if err := p.installRules(p.config.Ports); err != nil {
		return err
	}
	// No other process opens or uses doors by now.
	if err := p.adopt(); err != nil {
		return err
	}
	p.serveSocket(info) // before it is said to be ready: who waits for that may ask at once
	p.logReady(info)
	p.super.ready(p.status())
	return nil
}

// choose finds out how the job is done on this kernel.
func (p *program) choose() error {
	choice, err := probe.Choose(probe.Needs(probe.Options{Queue: p.config.Queue}))
	if err != nil {
		return err
	}
	if p.config.Helper != config.HelperAuto {
		choice.Helper = p.config.Helper
	}
	p.choice = choice
	return nil
}

func rulesFor(c config.Config, choice probe.Choice, ports []uint16) ruleset.Config {
	return ruleset.Config{
		Table: c.Table, Ports: ports, Queue: c.Queue, Helper: choice.Helper,
		Workers: workersFor(c, choice), Listened: c.Events && kernelTells(),
		NativeQueue: choice.NativeQueue, InnerHeader: choice.InnerHeader,
	}
}

const (
	// drainQuiet is for how long no packet may come before the queue is closed. Rules
	// that are removed still queue what is passing through them just now.
	drainQuiet = 5 * time.Millisecond
	drainMost  = time.Second
)

// serve handles packets until a signal ends it.
func (p *program) serve() error {
	err := runAll(p.signals, p.reload, p.loops()...)
	p.super.stopping()
	// First the rules, then the queue, what comes in between would be lost; the table
	// last, with p.close.
	err = errors.Join(err, p.emptyRules())
	for _, w := range p.workers {
		if err == nil {
			err = w.loop.drain(drainQuiet, drainMost)
		}
		w.loop.end()
	}
	err = errors.Join(err, p.close())
	p.log.Info("stopped")
	return err
}

// close gives back everything.
func (p *program) close() error {
	var errs []error
	for i := len(p.undo) - 1; i >= 0; i-- {
		errs = append(errs, p.undo[i]())
	}
	return errors.Join(errs...)
}

// logReady says what was chosen, in the first line of the log.
func (p *program) logReady(info build.Info) {
	queueing, helper, rules := "xt", "carrier", "managed"
	if p.choice.NativeQueue {
		queueing = "native"
	}
	if p.choice.Helper == conntrack.HelperOwn {
		helper = "own"
	}
	if p.config.ExternalRules {
		rules = "external"
	}
	events, bytes := p.hears()
	p.log.Info("ready", "version", info.Version, "ports", p.config.Ports, "queue", p.queueNumber,
		"workers", len(p.workers),
		"queueing", queueing, "helper", p.choice.Helper, "helper_kind", helper,
		"pure_acks", !p.choice.InnerHeader, "rules", rules, "table", p.config.Table,
		"metrics", p.config.Metrics.Address, "events", events, "bytes", bytes,
		"zones", zonesKnown(p))
}

// status is one line for people, as in `systemctl status`.
func (p *program) status() string {
	return fmt.Sprintf("%d control connections on ports %v", p.stats().Sessions.Load(), *p.served.Load())
}
