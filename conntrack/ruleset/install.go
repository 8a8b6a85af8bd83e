package ruleset

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// DefaultTable is the name of the table, in family inet.
const DefaultTable = "ftpalg"

// DefaultPriority of the hooks is that of mangle: after conntrack (-200) and
// before destination NAT (-100).
const DefaultPriority = -150

// answerTime is how long nftables may take. It answers at once unless a module
// has to be loaded, and never if that fails half-way.
const answerTime = 10 * time.Second

// Config is what the table depends on.
type Config struct {
	Table       string   // name; empty: DefaultTable
	Ports       []uint16 // ports of FTP servers as clients dial them
	Queue       uint16   // queue number
	Helper      string   // conntrack helper to attach; empty: none, then no data connection can be let through
	Priority    int32    // of the hooks; 0: DefaultPriority. Only -199 to -101 makes sense
	NativeQueue bool     // the kernel has the queue statement (CONFIG_NFT_QUEUE); else the xt target NFQUEUE is used
	InnerHeader bool     // the kernel can load payload (Linux 5.16); else pure ACKs are queued too
}

func (c Config) withDefaults() Config {
	if c.Table == "" {
		c.Table = DefaultTable
	}
	if c.Priority == 0 {
		c.Priority = DefaultPriority
	}
	c.Ports = slices.Compact(slices.Sorted(slices.Values(c.Ports)))
	return c
}

func (c Config) validate() error {
	switch {
	case !isName(c.Table):
		return errors.New("the table's name must be of letters, digits and underscores")
	case len(c.Ports) == 0:
		return errors.New("there is no port to watch")
	case c.Ports[0] == 0:
		return errors.New("port 0 cannot be watched")
	case c.Priority <= -200 || c.Priority >= -100:
		return fmt.Errorf("priority %d is not between conntrack (-200) and destination NAT (-100)", c.Priority)
	}
	return nil
}

func isName(s string) bool {
	for _, r := range s {
		if r != '_' && (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z') {
			return false
		}
	}
	return s != ""
}

// Install makes the table in the network namespace of the calling thread, in
// place of one with the same name. After an error the old table is as it was.
// Needs CAP_NET_ADMIN.
func Install(c Config) error {
	c = c.withDefaults()
	if err := c.validate(); err != nil {
		return fmt.Errorf("install nftables table %s: %w", c.Table, err)
	}
	err := transaction(func(nft *nftables.Conn) error {
		return add(nft, c)
	})
	switch {
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.EOPNOTSUPP):
		return fmt.Errorf("install nftables table %s: the kernel lacks something that its rules need, `ftpalg check` tells what: %w", c.Table, err)
	case err != nil:
		return fmt.Errorf("install nftables table %s: %w", c.Table, err)
	}
	return nil
}

// Remove removes the table; it is no error if there is none.
func Remove(table string) error {
	err := transaction(func(nft *nftables.Conn) error {
		clear(nft, table)
		return nil
	})
	if err != nil {
		return fmt.Errorf("remove nftables table %s: %w", table, err)
	}
	return nil
}

// transaction applies what f asks for, all or nothing.
func transaction(f func(*nftables.Conn) error) error {
	nft, err := nftables.New(nftables.WithSockOptions(func(c *netlink.Conn) error {
		return c.SetDeadline(time.Now().Add(answerTime))
	}))
	if err != nil {
		return err
	}
	if err := f(nft); err != nil {
		return err
	}
	return explain(nft.Flush())
}

func explain(err error) error {
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return fmt.Errorf("the kernel did not answer within %v: is nf_tables there? %w", answerTime, err)
	case errors.Is(err, unix.EPERM):
		return fmt.Errorf("CAP_NET_ADMIN is missing: %w", err)
	}
	return err
}

// clear removes the table. It is added first because removing what is not there
// is an error that would undo the whole transaction.
func clear(nft *nftables.Conn, name string) *nftables.Table {
	t := &nftables.Table{Family: nftables.TableFamilyINet, Name: name}
	nft.AddTable(t)
	nft.DelTable(t)
	return t
}

func add(nft *nftables.Conn, c Config) error {
	t := nft.AddTable(clear(nft, c.Table))
	if c.Helper != "" {
		addHelper(nft, t, c.Helper)
	}
	ports := &nftables.Set{Table: t, Name: portSet, KeyType: nftables.TypeInetService}
	if err := nft.AddSet(ports, elements(c.Ports)); err != nil {
		return err
	}
	all := chains(c)
	for _, ch := range all {
		nft.AddChain(tableChain(t, ch, c.Priority))
	}
	for _, ch := range all {
		for _, r := range ch.rules {
			nft.AddRule(&nftables.Rule{Table: t, Chain: &nftables.Chain{Name: ch.name}, Exprs: r.exprs})
		}
	}
	return nil
}

func tableChain(t *nftables.Table, ch chain, priority int32) *nftables.Chain {
	n := &nftables.Chain{Table: t, Name: ch.name}
	if ch.hook != nil {
		policy := nftables.ChainPolicyAccept
		n.Type, n.Hooknum, n.Policy = nftables.ChainTypeFilter, ch.hook, &policy
		n.Priority = nftables.ChainPriorityRef(nftables.ChainPriority(priority))
	}
	return n
}

func addHelper(nft *nftables.Conn, t *nftables.Table, name string) {
	nft.AddObj(&nftables.NamedObj{Table: t, Name: helperObject, Type: nftables.ObjTypeCtHelper,
		Obj: &expr.CtHelper{Name: name, L3Proto: unix.NFPROTO_INET, L4Proto: unix.IPPROTO_TCP}})
}

func elements(ports []uint16) []nftables.SetElement {
	var e []nftables.SetElement
	for _, p := range ports {
		e = append(e, nftables.SetElement{Key: binary.BigEndian.AppendUint16(nil, p)})
	}
	return e
}

// Text returns the table in nft syntax, to be read or to be loaded with `nft -f`
// by those who keep their rules themselves. It always has the native queue
// statement: nft can show the xt target NFQUEUE but cannot read it. The numbers
// of the label bits are those of a little endian machine.
func Text(c Config) string {
	c = c.withDefaults()
	var b strings.Builder
	fmt.Fprintf(&b, "table inet %s {\n", c.Table)
	if c.Helper != "" {
		fmt.Fprintf(&b, "\tct helper %s {\n\t\ttype \"%s\" protocol tcp\n\t\tl3proto inet\n\t}\n\n", helperObject, c.Helper)
	}
	fmt.Fprintf(&b, "\tset %s {\n\t\ttype inet_service\n\t\telements = { %s }\n\t}\n",
		portSet, strings.Trim(strings.ReplaceAll(fmt.Sprint(c.Ports), " ", ", "), "[]"))
	for _, ch := range chains(c) {
		fmt.Fprintf(&b, "\n\tchain %s {\n", ch.name)
		if ch.hook != nil {
			fmt.Fprintf(&b, "\t\ttype filter hook %s priority %d; policy accept;\n", ch.name, c.Priority)
		}
		for _, r := range ch.rules {
			fmt.Fprintf(&b, "\t\t%s\n", r.text)
		}
		b.WriteString("\t}\n")
	}
	b.WriteString("}\n")
	return b.String()
}
