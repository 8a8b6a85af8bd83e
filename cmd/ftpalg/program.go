package main

import (
	"errors"
	"io"
	"log/slog"
	"os"
	"sync/atomic"
	"time"

	"github.com/ftpalg/ftpalg/alg"
	"github.com/ftpalg/ftpalg/cmd/ftpalg/internal/build"
	"github.com/ftpalg/ftpalg/cmd/ftpalg/internal/config"
	"github.com/ftpalg/ftpalg/cmd/ftpalg/internal/metrics"
	"github.com/ftpalg/ftpalg/cmd/ftpalg/internal/transfers"
	"github.com/ftpalg/ftpalg/cmd/ftpalg/internal/webconfig"
	"github.com/ftpalg/ftpalg/conntrack"
	"github.com/ftpalg/ftpalg/conntrack/nfqueue"
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

	kernel  *kernel
	gateway *alg.Gateway
	conn    *conntrack.Conn
	queue   *nfqueue.Queue
	rules   *ruleset.Table
	watch   *ruleset.Watch
	log     *slog.Logger
	level   *slog.LevelVar
	journal *journal
	loop    *loop
	super   *supervisor
	events  *events // nil: they are off

	guard      *webconfig.Guard // of what is served; nil: nothing is
	transfers  *transfers.Log   // nil: they are not logged
	snapshots  *snapshots
	started    time.Time
	served     atomic.Pointer[[]uint16] // the ports, for other goroutines
	eventsLost *atomic.Uint64

	takeOver    bool           // from a process that has the table
	queueNumber uint16         // the configured one, but for a takeover
	undo        []func() error // what ends the program, the last first
}

// start does everything up to the first packet. If it fails it leaves nothing behind.
// takeOver takes the table and the sessions from a process that runs.
func start(src config.Sources, logTo io.Writer, takeOver bool) (*program, error) {
	c, err := src.Load()
	if err != nil {
		return nil, err
	}
	p := &program{sources: src, config: c, level: &slog.LevelVar{}, takeOver: takeOver,
		started: time.Now()}
	p.level.Set(c.Log.Level)
	p.log = newLogger(logTo, c.Log.JSON, p.level)
	p.journal = newJournal(logTo, c.Log.JSON, p.level)
	p.journal.names = c.Names
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
	if err := p.openConntrack(); err != nil {
		return err
	}
	if err := p.openQueue(); err != nil {
		return err
	}
	info := build.Read(version)
	m := metrics.New(&p.gateway.Stats, p.queueStats, info)
	p.journal.ended, p.eventsLost = m.Ended, &m.EventsLost
	ports := p.config.Ports
	p.served.Store(&ports)
	if err := errors.Join(p.openEvents(), openTransfers(p, m)); err != nil {
		return err
	}
	p.makeLoop(m)
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

// makeLoop joins what handles packets.
func (p *program) makeLoop(m *metrics.Metrics) {
	p.loop = newLoop()
	p.loop.gateway, p.loop.queue, p.loop.packets = p.gateway, p.queue, make([]nfqueue.Packet, batch)
	p.loop.latency, p.loop.overruns, p.loop.lost, p.loop.journal = m.Latency, &m.Overruns, &m.Lost, p.journal
	p.snapshots = newSnapshots(p.queue.Wake)
	p.loop.events, p.loop.snapshots = p.events, p.snapshots
	p.loop.idle = func() bool { return p.gateway.Idle() && p.super.every == 0 }
	p.loop.alive = func(now time.Time) { p.super.alive(now, p.status) }
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

// openConntrack registers the helper.
func (p *program) openConntrack() error {
	conn, err := conntrack.Dial()
	if err != nil {
		return err
	}
	p.conn, p.undo = conn, append(p.undo, conn.Close)
	if p.choice.Helper == conntrack.HelperOwn {
		err := conn.RegisterHelper(conntrack.HelperOwn, ownExpectations, p.config.Policy.Timeout)
		if err != nil {
			return err
		}
	}
	p.kernel = &kernel{conn: conn}
	p.gateway = alg.New(p.kernel, p.config.Policy, p.config.Policies...)
	p.gateway.Names = p.config.Names
	p.gateway.OnOpened = p.journal.opened
	p.gateway.OnRefused = p.journal.refused
	p.gateway.Fates.OnFate = p.journal.fate
	p.gateway.OnKernelError = p.journal.kernelError
	p.kernel.refused = p.gateway.Refused
	p.kernel.failed = func(doing string, err error) {
		p.gateway.Stats.KernelErrors.Add(1)
		p.journal.kernelError(doing, err)
	}
	return nil
}

func (p *program) queueStats() (nfqueue.Stats, error) { return nfqueue.ReadStats(p.queueNumber) }

func rulesFor(c config.Config, choice probe.Choice, ports []uint16) ruleset.Config {
	return ruleset.Config{
		Table: c.Table, Ports: ports, Queue: c.Queue, Helper: choice.Helper,
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
	err := runAll(p.signals, p.reload, p.loop)
	p.super.stopping()
	// First the rules, then the queue, what comes in between would be lost; the table
	// last, with p.close.
	err = errors.Join(err, p.emptyRules())
	if err == nil {
		err = p.loop.drain(drainQuiet, drainMost)
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
		"queueing", queueing, "helper", p.choice.Helper, "helper_kind", helper,
		"pure_acks", !p.choice.InnerHeader, "rules", rules, "table", p.config.Table,
		"metrics", p.config.Metrics.Address, "events", events, "bytes", bytes)
}
