package probe

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/ftpalg/ftpalg/conntrack"
	"github.com/ftpalg/ftpalg/conntrack/nfqueue"
	"github.com/ftpalg/ftpalg/conntrack/ruleset"
)

// Status is the result of looking for one thing.
type Status uint8

const (
	Found   Status = iota // it is there, or nothing is in the way
	Missing               // it is not there
	Note                  // something that the operator should know
	Warning               // something because of which transfers fail
)

func (s Status) String() string { return [...]string{"found", "missing", "note", "warning"}[s] }

// Item is one thing that was looked for.
type Item struct {
	ID       string // of its row in Checks
	Status   Status
	Detail   string // what was found
	Fix      string // what to do about it; empty: nothing
	Required bool   // ftpalg cannot work while it is missing
}

// Report is all that was found, in the order of looking.
type Report struct{ Items []Item }

// Options is what the report is for.
type Options struct {
	Queue uint16   // the queue number that ftpalg will use
	Table string   // name of its nftables table; empty: ruleset.DefaultTable
	Ports []uint16 // of control connections; none: 21
	Open  int      // how many ports may wait for their connection; 0: not looked at

	AnyZone bool     // the kernel is to tell the conntrack zone of packets
	Zones   []uint16 // else those to look in besides 0
}

// prober collects items.
type prober struct {
	Options
	table string // name of the throw-away table
	tells bool   // the kernel tells the zone of packets
	items []Item
}

// newProber fills in what the options leave out.
func newProber(o Options) *prober {
	if o.Table == "" {
		o.Table = ruleset.DefaultTable
	}
	if len(o.Ports) == 0 {
		o.Ports = []uint16{21}
	}
	return &prober{Options: o, table: fmt.Sprintf("ftpalg_probe_%d", os.Getpid())}
}

// Run looks for everything. It needs CAP_NET_ADMIN.
func Run(o Options) Report {
	p := newProber(o)
	if p.needs() {
		p.instance()
	}
	p.conflicts()
	p.neighbours()
	p.forwarding()
	p.numbers()
	return Report{p.items}
}

// Needs looks for what Choose asks for, and not at the rules of others, which may be many.
func Needs(o Options) Report {
	p := newProber(o)
	p.needs()
	return Report{p.items}
}

// needs tells whether there are tables at all.
func (p *prober) needs() bool {
	p.kernel()
	p.queue()
	tables := p.tables()
	if tables {
		p.rules()
		p.helpers()
	}
	p.ctnetlink()
	return tables
}

func (p *prober) add(i Item) { p.items = append(p.items, i) }

// need adds a required item that err says is missing, or nil that it is there.
func (p *prober) need(id, there, fix string, err error) bool {
	if err != nil {
		p.add(Item{id, Missing, err.Error(), privilege(err, fix), true})
		return false
	}
	p.add(Item{ID: id, Status: Found, Detail: there, Required: true})
	return true
}

// option adds an item for which there is something to fall back on.
func (p *prober) option(id, there, without string, err error) bool {
	if err != nil {
		p.add(Item{ID: id, Status: Note, Detail: "missing, " + without + ": " + err.Error()})
		return false
	}
	p.add(Item{ID: id, Status: Found, Detail: there})
	return true
}

func (p *prober) kernel() {
	var u unix.Utsname
	if err := unix.Uname(&u); err == nil {
		p.add(Item{ID: idKernelRelease, Status: Found, Detail: unix.ByteSliceToString(u.Release[:])})
	}
}

// queue binds a queue number that nobody uses: to bind the real one could take
// packets from under a program that runs.
func (p *prober) queue() {
	var err error
	var q *nfqueue.Queue
	for number := uint16(65535); number > 65500; number-- {
		q, err = nfqueue.Open(nfqueue.Config{Queue: number, Batch: 1, Zones: true})
		if !errors.Is(err, nfqueue.ErrBound) {
			break
		}
	}
	if err == nil {
		p.tells = q.Zoned()
		err = q.Close()
	}
	p.need(idPacketQueue, "nfnetlink_queue answers",
		"load or build nfnetlink_queue (CONFIG_NETFILTER_NETLINK_QUEUE)", err)

	switch s, err := nfqueue.ReadStats(p.Queue); {
	case err == nil:
		p.add(Item{ID: idQueueNumber, Status: Note,
			Detail: fmt.Sprintf("queue %d belongs to a program with netlink port %d (a small number is its "+
				"process id)", p.Queue, s.PortID),
			Fix: "if that is not ftpalg itself, choose another queue number"})
	case errors.Is(err, fs.ErrPermission):
		p.add(Item{ID: idQueueNumber, Status: Note,
			Detail: "only root can see who uses a queue: " + err.Error()})
	default:
		p.add(Item{ID: idQueueNumber, Status: Found, Detail: fmt.Sprintf("queue %d is free", p.Queue)})
	}
}

func (p *prober) tables() bool {
	return p.need(idNftables, "tables of family inet",
		"load or build nf_tables (CONFIG_NF_TABLES, CONFIG_NF_TABLES_INET)",
		ruleset.Try(p.table, ruleset.Tables))
}

func (p *prober) rules() {
	p.need(idCTLabels, "nftables sets and reads them",
		"build the kernel with CONFIG_NF_CONNTRACK_LABELS and CONFIG_NFT_CT",
		ruleset.Try(p.table, ruleset.Labels))

	native := ruleset.Try(p.table, ruleset.NativeQueue)
	target := ruleset.Try(p.table, ruleset.TargetQueue)
	p.option(idNative, "nftables can queue (CONFIG_NFT_QUEUE)", "the NFQUEUE target is used", native)
	p.option(idTarget, "nftables can use the xtables target (CONFIG_NFT_COMPAT)",
		"the queue statement is used", target)
	var err error
	if native != nil && target != nil {
		err = errors.New("neither the queue statement nor the NFQUEUE target")
	}
	p.need(idQueueing, "a rule can queue packets",
		"load nft_queue (CONFIG_NFT_QUEUE), or nft_compat and xt_NFQUEUE, which is not loaded by itself", err)

	p.option(idHash, "several workers can share the connections", "one worker at most",
		ruleset.Try(p.table, ruleset.Spread))
	p.option(idInner, "pure ACKs stay in the kernel",
		"pure ACKs are queued too, which costs some speed (Linux 5.16 has it)",
		ruleset.Try(p.table, ruleset.InnerHeader))
}

// helpers looks for a conntrack helper that carries expectations. One of our own
// comes second: see [conntrack.Flow.HoldsOffsets].
func (p *prober) helpers() {
	carrier := ruleset.TryHelper(p.table, conntrack.HelperCarrier)
	found := fmt.Sprintf("the kernel's %q helper: one waiting data connection a session",
		conntrack.HelperCarrier)
	if p.option(idCarrier, found, "a helper of our own is used, if there can be one", carrier) {
		p.add(Item{ID: idHelper, Status: Found, Detail: "a helper carries expectations", Required: true})
		return
	}
	own := withConn(func(c *conntrack.Conn) error { return c.CanRegisterHelper() })
	p.option(idOwnHelper, "programs can register helpers (nfnetlink_cthelper); "+
		"the program holds all sequence offsets then, and rewritten sessions end with it", "", own)
	if own != nil {
		own = fmt.Errorf("neither the helper %q nor nfnetlink_cthelper", conntrack.HelperCarrier)
	}
	p.need(idHelper, "a helper of our own carries expectations",
		"load nf_conntrack_sane or nfnetlink_cthelper (CONFIG_NF_CT_NETLINK_HELPER)", own)
}

// ctnetlink tries what is told to conntrack, with the carrier helper if that is
// what will be used.
func (p *prober) ctnetlink() {
	const fix = "load or build nf_conntrack_netlink (CONFIG_NF_CT_NETLINK)"
	helper := ""
	if status(p.items, idCarrier) == Found {
		helper = conntrack.HelperCarrier
	}
	var a conntrack.Abilities
	err := withConn(func(c *conntrack.Conn) error {
		a = c.Try(helper)
		return a.Flows
	})
	if p.full(idEntries, "nf_conntrack_max", err, conntrack.ErrEntriesFull) ||
		!p.need(idEntries, "ctnetlink finds and changes them", fix, err) {
		return
	}
	p.need(idSeqAdj, "the kernel keeps what it is told", "build the kernel with CONFIG_NF_NAT",
		a.SeqAdj)
	if p.full(idExpectations, "nf_conntrack_expect_max", a.Expect, conntrack.ErrTableFull) {
		return
	}
	p.need(idExpectations, "the kernel takes them", fix, a.Expect)
	switch {
	case helper == "": // cannot be tried without one
	case a.Translate != nil:
		p.add(Item{ID: idTranslated, Status: Note,
			Detail: "not possible now, because no NAT is in use: " + a.Translate.Error(),
			Fix:    "nothing if this machine does no NAT; else install the NAT rules and check again"})
	default:
		p.add(Item{ID: idTranslated, Status: Found,
			Detail: "data connections follow the NAT of their control connection"})
	}
}

// full adds an item for what could not be tried because a table of the kernel is full: that says nothing
// against the kernel, and a program that ends then cannot begin anew.
func (p *prober) full(id, limit string, err, full error) bool {
	if !errors.Is(err, full) {
		return false
	}
	p.add(Item{ID: id, Status: Warning, Detail: "not tried: " + err.Error(), Required: true,
		Fix: "raise net.netfilter." + limit})
	return true
}

func withConn(f func(*conntrack.Conn) error) error {
	c, err := conntrack.Dial()
	if err != nil {
		return err
	}
	return errors.Join(f(c), c.Close())
}

// status of the item of that id; Missing if there is none.
func status(items []Item, id string) Status {
	for _, i := range items {
		if i.ID == id {
			return i.Status
		}
	}
	return Missing
}

// Choice is how ftpalg works on this kernel: values for ruleset.Config.
type Choice struct {
	NativeQueue bool
	InnerHeader bool
	Spread      bool // several workers can share the connections
	// conntrack.HelperOwn, to be registered before the rules are installed, or conntrack.HelperCarrier
	Helper string
}

// Choose makes the best of what the report found. The error lists all that is
// missing and what to do about it.
func Choose(r Report) (Choice, error) {
	var missing []string
	for _, i := range r.Items {
		if i.Required && i.Status == Missing {
			missing = append(missing, fmt.Sprintf("%s: %s (to do: %s)", i.Name(), i.Detail, i.Fix))
		}
	}
	if len(missing) > 0 {
		list := strings.Join(missing, "\n  ")
		return Choice{}, fmt.Errorf("this system lacks what ftpalg needs:\n  %s", list)
	}
	c := Choice{
		NativeQueue: status(r.Items, idNative) == Found,
		InnerHeader: status(r.Items, idInner) == Found,
		Spread:      status(r.Items, idHash) == Found,
		Helper:      conntrack.HelperCarrier,
	}
	if status(r.Items, idCarrier) != Found {
		c.Helper = conntrack.HelperOwn
	}
	return c, nil
}
