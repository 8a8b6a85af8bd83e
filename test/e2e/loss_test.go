package e2e

import (
	"encoding/binary"
	"testing"

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

// lose makes a host lose every packet that it receives with port 21 as its source or
// target, until the returned function is called.
func lose(t testing.TB, h *lab.Host, offset uint32) (stop func()) {
	t.Helper()
	table := &nftables.Table{Name: "loss", Family: nftables.TableFamilyINet}
	change := func(f func(c *nftables.Conn)) {
		t.Helper()
		must(t, h.Do(func() error {
			c, err := nftables.New()
			if err != nil {
				return err
			}
			f(c)
			return c.Flush()
		}))
	}
	change(func(c *nftables.Conn) {
		c.AddTable(table)
		raw := nftables.ChainPriority(-310)
		chain := c.AddChain(&nftables.Chain{Name: "in", Table: table, Type: nftables.ChainTypeFilter, Hooknum: nftables.ChainHookPrerouting, Priority: &raw})
		c.AddRule(&nftables.Rule{Table: table, Chain: chain, Exprs: []expr.Any{
			&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1},
			&expr.Cmp{Register: 1, Data: []byte{unix.IPPROTO_TCP}},
			&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: offset, Len: 2},
			&expr.Cmp{Register: 1, Data: binary.BigEndian.AppendUint16(nil, 21)},
			&expr.Verdict{Kind: expr.VerdictDrop},
		}})
	})
	return func() { t.Helper(); change(func(c *nftables.Conn) { c.DelTable(table) }) }
}
