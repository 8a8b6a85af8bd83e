package e2e

import (
	"encoding/binary"
	"errors"
	"testing"
	"time"

	"github.com/ftpalg/ftpalg/test/lab"
	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// Offsets of the ports in a TCP header.
const (
	sourcePort = 0
	targetPort = 2
)

// loss is what a host does not receive.
type loss struct {
	t     testing.TB
	host  *lab.Host
	table *nftables.Table
	chain *nftables.Chain
}

// lose makes a host lose every packet that it receives with port 21 as its source or
// target, until it is found again.
func lose(t testing.TB, h *lab.Host, offset uint32) *loss {
	t.Helper()
	l := &loss{t: t, host: h, table: &nftables.Table{Name: "loss", Family: nftables.TableFamilyINet}}
	l.nft(func(c *nftables.Conn) error {
		c.AddTable(l.table)
		raw := nftables.ChainPriority(-310)
		l.chain = c.AddChain(&nftables.Chain{Name: "in", Table: l.table, Type: nftables.ChainTypeFilter,
			Hooknum: nftables.ChainHookPrerouting, Priority: &raw})
		c.AddRule(&nftables.Rule{Table: l.table, Chain: l.chain, Exprs: []expr.Any{
			&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1},
			&expr.Cmp{Register: 1, Data: []byte{unix.IPPROTO_TCP}},
			&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: offset, Len: 2},
			&expr.Cmp{Register: 1, Data: binary.BigEndian.AppendUint16(nil, 21)},
			&expr.Counter{},
			&expr.Verdict{Kind: expr.VerdictDrop},
		}})
		return nil
	})
	return l
}

// found ends the loss.
func (l *loss) found() {
	l.t.Helper()
	l.nft(func(c *nftables.Conn) error { c.DelTable(l.table); return nil })
}

// await waits until more than this many packets are lost.
func (l *loss) await(more uint64) {
	l.t.Helper()
	for deadline := time.Now().Add(patience); l.packets() <= more; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			l.t.Fatalf("%d packets are lost, want more than %d", l.packets(), more)
		}
	}
}

// packets is how many are lost so far.
func (l *loss) packets() (n uint64) {
	l.t.Helper()
	l.nft(func(c *nftables.Conn) error {
		rules, err := c.GetRules(l.table, l.chain)
		for _, r := range rules {
			for _, e := range r.Exprs {
				if counter, ok := e.(*expr.Counter); ok {
					n += counter.Packets
				}
			}
		}
		return err
	})
	return n
}

func (l *loss) nft(f func(c *nftables.Conn) error) {
	l.t.Helper()
	must(l.t, l.host.Do(func() error {
		c, err := nftables.New()
		if err != nil {
			return err
		}
		return errors.Join(f(c), c.Flush())
	}))
}
