package probe

import (
	"errors"
	"fmt"
	"io/fs"

	"golang.org/x/sys/unix"

	"github.com/ftpalg/ftpalg/conntrack/nfqueue"
	"github.com/ftpalg/ftpalg/conntrack/ruleset"
)

const itemInstance = "running ftpalg"

// instance tells whose table is in force, and whether that process runs.
func (p *prober) instance() {
	name := p.Table
	if name == "" {
		name = ruleset.DefaultTable
	}
	o, found, err := ownerOf(name)
	switch {
	case err != nil:
		p.add(Item{Name: itemInstance, Status: Note, Detail: "not known: " + err.Error()})
	case !found:
		p.add(Item{Name: itemInstance, Status: Note,
			Detail: fmt.Sprintf("none runs here, or with your rules: no table inet %s of ftpalg", name)})
	case !o.Alive(QueueBound):
		p.add(Item{Name: itemInstance, Status: Note,
			Detail: fmt.Sprintf("the table inet %s is there, but %v that made it does not run", name, o),
			Fix:    "start ftpalg, which takes over what that one left"})
	case !QueueBound(o.Queue):
		p.add(Item{Name: itemInstance, Status: Note,
			Detail: fmt.Sprintf("%v and its table inet %s are there, but no program has its queue %d",
				o, name, o.Queue),
			Fix: "look into its log, and restart it"})
	default:
		p.add(Item{Name: itemInstance, Status: Found,
			Detail: fmt.Sprintf("%v, with the table inet %s and queue %d", o, name, o.Queue)})
	}
}

func ownerOf(table string) (o ruleset.Owner, found bool, err error) {
	self, err := ruleset.Self()
	if err != nil {
		return o, false, err
	}
	t, err := ruleset.Open(table, self, QueueBound)
	if err != nil {
		return o, false, err
	}
	o, found, err = t.Owner()
	return o, found, errors.Join(err, t.Close())
}

// QueueBound tells whether a program has the queue. Where the kernel's list is for
// root alone the queue is bound for a moment to find out.
func QueueBound(queue uint16) bool {
	_, err := nfqueue.ReadStats(queue)
	if !errors.Is(err, fs.ErrPermission) {
		return err == nil
	}
	q, err := nfqueue.Open(nfqueue.Config{Queue: queue, Batch: 1})
	if err != nil {
		return errors.Is(err, nfqueue.ErrBound)
	}
	_ = q.Close()
	return false
}

// privilege replaces the advice if the program was only not allowed to look, which
// root may not be either, as in a container.
func privilege(err error, fix string) string {
	if !errors.Is(err, unix.EPERM) || hasNetAdmin() {
		return fix
	}
	if unix.Geteuid() == 0 {
		return "add the capability: root has no CAP_NET_ADMIN here (a container needs --cap-add NET_ADMIN)"
	}
	return "run it as root or give it CAP_NET_ADMIN"
}

// hasNetAdmin asks for the capability of the calling thread, not for its uid.
func hasNetAdmin() bool {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if unix.Capget(&header, &data[0]) != nil {
		return unix.Geteuid() == 0
	}
	return data[0].Effective&(1<<unix.CAP_NET_ADMIN) != 0
}
