package conntrack

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"
)

// Abilities is what Try found out of the kernel: nil where it can.
type Abilities struct {
	Flows  error // making, looking up and removing a conntrack entry; ErrEntriesFull: there was no room
	SeqAdj error // moving sequence numbers
	Expect error // expecting a connection; ErrTableFull: there was no room
	// Translate is expecting one and translating its addresses, which works only while NAT is in use; nil if
	// no helper was given.
	Translate error
}

// The entry that Try makes lies between addresses that are reserved for
// documentation (RFC 5737), so it meets no traffic.
var (
	tryClients = netip.MustParsePrefix("192.0.2.0/24")
	tryServer  = netip.MustParseAddrPort("198.51.100.1:21")
	trySeqAdj  = SeqAdj{Pos: 1, Before: -1, After: 1}
)

// tryTime is how long the entry may live: a program that is stopped meanwhile finds it still.
const tryTime = 30 * time.Second

// trial is the original tuple of an entry to try things on. It is another each time: where entries are
// replicated, the one that another gateway makes and removes just now is here too.
func trial() Tuple {
	a := tryClients.Addr().As4()
	a[3] = byte(rand.N(256))
	return Tuple{Src: netip.AddrPortFrom(netip.AddrFrom4(a), 1+rand.N[uint16](1<<16-1)), Dst: tryServer}
}

// trials is how many tuples are tried if others have an entry just there.
const trials = 8

// Try makes a conntrack entry with the helper, tries on it what ftpalg needs of
// ctnetlink, and removes it again. Without a helper an expectation cannot be
// made, and that the kernel says so is taken for the ability.
func (c *Conn) Try(helper string) Abilities {
	t, err := c.tryEntry(helper)
	if err != nil {
		err = fmt.Errorf("make a conntrack entry: %w", err)
		return Abilities{Flows: err, SeqAdj: err, Expect: err, Translate: err}
	}
	a := Abilities{SeqAdj: c.trySeqAdj(t)}
	e := Expectation{Master: t, Src: t.Src.Addr(),
		Dst: netip.AddrPortFrom(t.Dst.Addr(), t.Src.Port()), Timeout: time.Second}
	a.Expect = c.tryExpect(e, helper)
	if helper != "" {
		e.Translate, e.Target = true, e.Dst
		a.Translate = c.tryExpect(e, helper)
	}
	a.Flows = c.removeEntry(t)
	return a
}

// tryEntry makes an entry where nobody else has one.
func (c *Conn) tryEntry(helper string) (t Tuple, err error) {
	for range trials {
		t = trial()
		if err = c.makeEntry(t, helper); !errors.Is(err, unix.EEXIST) {
			break
		}
	}
	if errors.Is(err, unix.ENOMEM) { // __nf_conntrack_alloc in net/netfilter/nf_conntrack_core.c
		err = ErrEntriesFull
	}
	return t, err
}

func (c *Conn) makeEntry(t Tuple, helper string) error {
	e := c.start(subsysConntrack|msgNew, unix.NLM_F_CREATE|unix.NLM_F_EXCL, unix.AF_INET)
	e.tuple(ctaTupleOrig, t)
	e.tuple(ctaTupleReply, t.Reverse())
	// Of those that are not assured the kernel drops some when the table is full (early_drop_list).
	e.u32(ctaStatus, uint32(StatusSeenReply|StatusAssured|StatusConfirmed))
	e.u32(ctaTimeout, seconds(tryTime))
	info := e.nest(ctaProtoInfo)
	tcp := e.nest(ctaProtoInfoTCP)
	e.u8(ctaTCPState, uint8(TCPEstablished))
	e.end(tcp)
	e.end(info)
	if helper != "" {
		at := e.nest(ctaHelp)
		e.str(ctaHelpName, helper)
		e.end(at)
	}
	return c.do()
}

func (c *Conn) removeEntry(t Tuple) error {
	c.start(subsysConntrack|msgDelete, 0, unix.AF_INET).tuple(ctaTupleOrig, t)
	return c.do()
}

func (c *Conn) trySeqAdj(t Tuple) error {
	moved := Update{Seq: [2]SeqAdj{trySeqAdj, trySeqAdj}, SetSeq: [2]bool{true, true}}
	if err := c.Update(t, moved); err != nil {
		return err
	}
	f, err := c.Flow(t)
	if err != nil {
		return err
	}
	if f.Seq != [2]SeqAdj{trySeqAdj, trySeqAdj} {
		return fmt.Errorf("the kernel did not keep a sequence adjustment: %w", ErrUnsupported)
	}
	return nil
}

func (c *Conn) tryExpect(e Expectation, helper string) error {
	err := c.Expect(&e)
	if helper == "" && errors.Is(err, ErrNoHelper) {
		return nil
	}
	return errors.Join(err, c.Withdraw(e))
}
