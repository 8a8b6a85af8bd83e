package conntrack

import (
	"errors"
	"fmt"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"
)

// Abilities is what Try found out of the kernel: nil where it can.
type Abilities struct {
	Flows  error // making, looking up and removing a conntrack entry
	SeqAdj error // moving sequence numbers
	Expect error // expecting a connection
	// Translate is expecting one and translating its addresses, which works only while NAT is in use; nil if
	// no helper was given.
	Translate error
}

// The entry that Try makes lies between addresses that are reserved for
// documentation (RFC 5737), so it meets no traffic.
var (
	tryTuple = Tuple{Src: netip.MustParseAddrPort("192.0.2.1:1"),
		Dst: netip.MustParseAddrPort("198.51.100.1:21")}
	trySeqAdj = SeqAdj{Pos: 1, Before: -1, After: 1}
)

// Try makes a conntrack entry with the helper, tries on it what ftpalg needs of
// ctnetlink, and removes it again. Without a helper an expectation cannot be
// made, and that the kernel says so is taken for the ability.
func (c *Conn) Try(helper string) Abilities {
	if err := c.makeEntry(helper); err != nil {
		err = fmt.Errorf("make a conntrack entry: %w", err)
		return Abilities{Flows: err, SeqAdj: err, Expect: err, Translate: err}
	}
	a := Abilities{SeqAdj: c.trySeqAdj()}
	e := Expectation{Master: tryTuple, Src: tryTuple.Src.Addr(),
		Dst: netip.AddrPortFrom(tryTuple.Dst.Addr(), 2), Timeout: time.Second}
	a.Expect = c.tryExpect(e, helper)
	if helper != "" {
		e.Translate, e.Target = true, e.Dst
		a.Translate = c.tryExpect(e, helper)
	}
	a.Flows = c.removeEntry()
	return a
}

func (c *Conn) makeEntry(helper string) error {
	e := c.start(subsysConntrack|msgNew, unix.NLM_F_CREATE, unix.AF_INET)
	e.tuple(ctaTupleOrig, tryTuple)
	e.tuple(ctaTupleReply, tryTuple.Reverse())
	e.u32(ctaTimeout, 2)
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

func (c *Conn) removeEntry() error {
	c.start(subsysConntrack|msgDelete, 0, unix.AF_INET).tuple(ctaTupleOrig, tryTuple)
	return c.do()
}

func (c *Conn) trySeqAdj() error {
	moved := Update{Seq: [2]SeqAdj{trySeqAdj, trySeqAdj}, SetSeq: [2]bool{true, true}}
	if err := c.Update(tryTuple, moved); err != nil {
		return err
	}
	f, err := c.Flow(tryTuple)
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
