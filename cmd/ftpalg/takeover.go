package main

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ftpalg/ftpalg/conntrack/nfqueue"
	"github.com/ftpalg/ftpalg/conntrack/probe"
	"github.com/ftpalg/ftpalg/conntrack/ruleset"
)

// A takeover, which is an upgrade that no session notices:
//
//  1. The new process binds a queue number that nobody has.
//  2. It replaces the table in one transaction: from then on every packet comes to
//     its queue.
//  3. The old process hears of the transaction, answers what its queue still holds,
//     and ends with status 0, leaving the table as it is.
//  4. Then only the new process begins with what came to its queue meanwhile: it
//     picks the sessions up from what the kernel keeps of them, and while two work on
//     a session what they know of it differs. It serves the metrics where the old one did.

const (
	// queueTries is how many queue numbers are tried, from the configured one on.
	queueTries = 64
	// endPatience is how long packets wait for the former process to end.
	endPatience, endPoll = 2 * time.Second, time.Millisecond
	// metricsPatience is how long the former process may keep the address.
	metricsPatience, metricsPoll = 15 * time.Second, 20 * time.Millisecond
)

// findQueues binds the configured queues or, to take over from a process that has
// one of them, the next that are free.
func (p *program) findQueues() error {
	last := min(int(p.config.Queue), 1<<16-len(p.workers))
	if last < int(p.config.Queue) {
		return fmt.Errorf("%d workers need queues %d and the next, which go to %d: choose another with "+
			"--queue, FTPALG_QUEUE or queue in the configuration", len(p.workers), p.config.Queue, 1<<16-1)
	}
	if p.takeOver {
		last = min(last+queueTries-1, 1<<16-len(p.workers))
	}
	for number := int(p.config.Queue); ; number++ {
		switch err := p.openQueues(uint16(number)); {
		case err == nil:
			return nil
		case errors.Is(err, nfqueue.ErrBound) && number < last:
		case errors.Is(err, nfqueue.ErrBound):
			return fmt.Errorf("%w (the number is set by --queue, FTPALG_QUEUE or queue in the "+
				"configuration; is ftpalg running already?)", err)
		default:
			return err
		}
	}
}

// awaitEnd waits for the process that was taken over from. One that hangs is not
// waited for: what it holds is repeated by its senders.
func (p *program) awaitEnd(former ruleset.Owner) {
	if former.ID == "" {
		return
	}
	for until := time.Now().Add(endPatience); former.Alive(probe.QueueBound); time.Sleep(endPoll) {
		if time.Now().After(until) {
			p.log.Error("the process that was taken over from does not end: end it by hand",
				"owner", former.String())
			return
		}
	}
}

// adopt takes over the doors that an earlier process left open. What is told here
// must be so: a line that is taken to come again is not counted as another edit.
func (p *program) adopt() error {
	left, err := expectations(p.workers[0].conn)
	if err != nil {
		return err
	}
	_, _ = countUnseen(p)         // begins to count; where it cannot be read nobody is told a number
	for _, w := range p.workers { // whose connection it is shows when its packets come
		w.gateway.Adopt(left)
	}
	return nil
}

// listenLater waits for the former process to let go of the address.
func (p *program) listenLater(server *http.Server) {
	var l net.Listener
	var err error
	for until := time.Now().Add(metricsPatience); time.Now().Before(until); time.Sleep(metricsPoll) {
		if l, err = net.Listen("tcp", p.config.Metrics.Address); !errors.Is(err, unix.EADDRINUSE) {
			break
		}
	}
	if err != nil {
		p.log.Error("metrics are not served: is there another program than the one that was taken over from?",
			"address", p.config.Metrics.Address, "error", err)
		return
	}
	_ = p.guard.Serve(server, l) // ends with Close, also of a server that is closed already
}
