package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/ftpalg/ftpalg/conntrack/probe"
	"github.com/ftpalg/ftpalg/conntrack/ruleset"
)

// openRules finds out whose the table is, before anything is changed. A table that
// belongs to another process that runs is an error, unless it is to be taken over.
func (p *program) openRules() error {
	if p.config.ExternalRules && p.takeOver {
		return errors.New("--takeover works by the nftables rules, which are the operator's here " +
			"(rules: external): start it with another queue, and load rules with that one")
	}
	self, err := ruleset.Self()
	if err != nil {
		return err
	}
	if p.rules, err = ruleset.Open(p.config.Table, self, p.boundByOther); err != nil {
		return err
	}
	p.undo = append(p.undo, p.rules.Close)
	if p.config.ExternalRules {
		return p.rules.Leave()
	}
	o, ok, err := p.rules.Owner()
	if err != nil {
		return err
	}
	p.bare = !ok
	if ok && !p.takeOver && o.Alive(probe.QueueBound) {
		return fmt.Errorf("%w: stop it first, take its sessions over with --takeover, "+
			"or give this one a table, ports and a queue of its own",
			&ruleset.OwnedError{Table: p.config.Table, Owner: o})
	}
	return nil
}

// boundByOther tells whether another program has the queue. The owner of a table in another
// pid namespace, as of a container before it was restarted, is taken to run as long as its
// queue is bound: this program's own queue, of the same number, says that it does not.
func (p *program) boundByOther(queue uint16) bool {
	bound := len(p.workers) > 0 && p.workers[0].queue != nil // by this program, from that number on
	own := bound && queue >= p.queueNumber && int(queue) < int(p.queueNumber)+len(p.workers)
	return !own && probe.QueueBound(queue)
}

// watchRules begins to watch the table, so before it is installed.
func (p *program) watchRules() (err error) {
	if p.watch, err = p.rules.Watch(p.ruleEvent); err != nil {
		return err
	}
	p.undo = append(p.undo, p.watch.Close)
	for _, w := range p.workers {
		w.loop.harm.watch = p.watch
		if p.bare {
			w.gateway.Damaged(time.Now())
		}
	}
	return nil
}

// installRules makes the table, or puts another in its place.
func (p *program) installRules(ports []uint16) error {
	if p.config.ExternalRules {
		return nil
	}
	c := rulesFor(p.config, p.choice, ports)
	c.Queue = p.queueNumber
	if !p.takeOver {
		return p.rules.Install(c)
	}
	p.takeOver = false // from now on it is ours
	from, err := p.rules.TakeOver(c)
	if err == nil {
		for _, w := range p.workers {
			w.gateway.Succeeds = from.ID != ""
		}
		p.awaitEnd(from)
	}
	return err
}

// repairRules makes the table whole again if it is not.
func (p *program) repairRules() error {
	_, _, err := p.rules.Repair()
	return err
}

// emptyRules has nothing queued any more.
func (p *program) emptyRules() error {
	if p.config.ExternalRules {
		return nil
	}
	return p.rules.Empty()
}

// removeRules removes the table, if it is still ours.
func (p *program) removeRules() error {
	if p.config.ExternalRules {
		return nil
	}
	return p.rules.Remove()
}

// ruleEvent logs what others did to the table. It is called by the watch's
// goroutine, and so touches nothing but the log and the channel of signals.
func (p *program) ruleEvent(e ruleset.Event) {
	log := p.log.With("table", p.config.Table, "found", e.Found.String(), "by", e.Program, "thread", e.Thread)
	switch {
	case e.Found == ruleset.Taken:
		log.Info("another process has taken over, so this one ends",
			"owner", e.Owner.String(), "queue", e.Owner.Queue)
		go func() { p.signals <- superseded{e.Owner} }() // read at once, or never if the program ends anyway
	case e.Err != nil:
		log.Error("the rules are not as they should be and cannot be repaired", "error", e.Err)
	case e.Left:
		log.Warn("the rules were changed; they are the operator's, so they are left as they are")
	case e.Wait > 0:
		log.Error("another program undoes the rules each time that they are repaired: two programs fight, "+
			"tell that one to leave this table alone", "times", e.Undone, "next_repair_in", e.Wait)
	default:
		log.Warn("the rules were damaged and are repaired", "took", e.Took)
	}
}

// superseded is a signal of our own: another process has the table now.
type superseded struct{ ruleset.Owner }

// Signal makes it an os.Signal.
func (superseded) Signal() {}
