package firewall

import (
	"fmt"
	"time"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"github.com/ftpalg/ftpalg/conntrack/internal/nlread"
)

// patience is how long the kernel may take for one list.
const patience = 5 * time.Second

// Ruleset is all tables of a network namespace.
type Ruleset struct {
	tables map[tableKey]*table
	order  []*chain // base chains as the kernel lists them

	// Flowtables are the tables that have one, as "inet name".
	Flowtables []string
}

type tableKey struct {
	family uint8
	name   string
}

type table struct {
	tableKey
	chains  map[string]*chain
	helpers map[string]string // names of objects, and of the helpers that they stand for
	sets    map[string]*set
}

func (t *table) String() string {
	switch t.family {
	case unix.NFPROTO_INET:
		return "inet " + t.name
	case unix.NFPROTO_IPV4:
		return "ip " + t.name
	case unix.NFPROTO_IPV6:
		return "ip6 " + t.name
	}
	return fmt.Sprintf("family-%d %s", t.family, t.name)
}

type chain struct {
	table    *table
	name     string
	base     bool
	hook     uint32
	priority int32
	kind     string // filter, nat or route
	drops    bool   // its policy
	rules    [][]expression
}

func (c *chain) String() string { return c.table.String() + " " + c.name }

type expression struct {
	name string
	data []byte // attributes
}

// Read reads the rules in the network namespace of the calling thread. It needs
// CAP_NET_ADMIN.
func Read() (*Ruleset, error) {
	conn, err := netlink.Dial(unix.NETLINK_NETFILTER, nil)
	if err != nil {
		return nil, fmt.Errorf("open a netlink socket to nftables: %w", err)
	}
	defer func() { _ = conn.Close() }() // it was only read from
	r := &Ruleset{tables: map[tableKey]*table{}}
	for _, list := range []struct {
		what string
		typ  uint16
		add  func(family uint8, body []byte)
	}{
		{"chains", unix.NFT_MSG_GETCHAIN, r.addChain},
		{"rules", unix.NFT_MSG_GETRULE, r.addRule},
		{"objects", unix.NFT_MSG_GETOBJ, r.addObject},
		{"sets", unix.NFT_MSG_GETSET, r.addSet},
		{"flowtables", unix.NFT_MSG_GETFLOWTABLE, r.addFlowtable},
	} {
		if err := dump(conn, list.typ, 0, nil, list.add); err != nil {
			return nil, fmt.Errorf("list the %s of nftables: %w", list.what, err)
		}
	}
	for _, t := range r.tables {
		for _, s := range t.sets {
			if err := s.read(conn, t); err != nil {
				return nil, fmt.Errorf("list the elements of set %s in table %v: %w", s.name, t, err)
			}
		}
	}
	return r, nil
}

// dump gives add the attributes of each object of a kind.
func dump(conn *netlink.Conn, typ uint16, family uint8, attrs []netlink.Attribute,
	add func(uint8, []byte)) error {
	body, err := netlink.MarshalAttributes(attrs)
	if err != nil {
		return err
	}
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	answers, err := conn.Execute(netlink.Message{
		Header: netlink.Header{
			Type:  netlink.HeaderType(unix.NFNL_SUBSYS_NFTABLES<<8 | typ),
			Flags: netlink.Request | netlink.Dump,
		},
		Data: append([]byte{family, unix.NFNETLINK_V0, 0, 0}, body...), // struct nfgenmsg
	})
	if err != nil {
		return err
	}
	for _, m := range answers {
		const header = 4
		if len(m.Data) >= header {
			add(m.Data[0], m.Data[header:])
		}
	}
	return nil
}

func (r *Ruleset) table(family uint8, name string) *table {
	key := tableKey{family, name}
	t := r.tables[key]
	if t == nil {
		t = &table{key, map[string]*chain{}, map[string]string{}, map[string]*set{}}
		r.tables[key] = t
	}
	return t
}

func (r *Ruleset) addChain(family uint8, b []byte) {
	t := r.table(family, text(b, unix.NFTA_CHAIN_TABLE))
	c := &chain{table: t, name: text(b, unix.NFTA_CHAIN_NAME), kind: text(b, unix.NFTA_CHAIN_TYPE)}
	if hook := nlread.Attr(b, unix.NFTA_CHAIN_HOOK); hook != nil {
		c.base = true
		c.hook = nlread.U32(nlread.Attr(hook, unix.NFTA_HOOK_HOOKNUM))
		c.priority = int32(nlread.U32(nlread.Attr(hook, unix.NFTA_HOOK_PRIORITY)))
		c.drops = nlread.U32(nlread.Attr(b, unix.NFTA_CHAIN_POLICY)) == nfDrop &&
			nlread.Attr(b, unix.NFTA_CHAIN_POLICY) != nil
		r.order = append(r.order, c)
	}
	t.chains[c.name] = c
}

func (r *Ruleset) addRule(family uint8, b []byte) {
	c := r.table(family, text(b, unix.NFTA_RULE_TABLE)).chains[text(b, unix.NFTA_RULE_CHAIN)]
	if c == nil { // made between the two lists
		return
	}
	var rule []expression
	each(nlread.Attr(b, unix.NFTA_RULE_EXPRESSIONS), func(e []byte) {
		rule = append(rule, expression{text(e, unix.NFTA_EXPR_NAME), nlread.Attr(e, unix.NFTA_EXPR_DATA)})
	})
	c.rules = append(c.rules, rule)
}

func (r *Ruleset) addObject(family uint8, b []byte) {
	if nlread.U32(nlread.Attr(b, unix.NFTA_OBJ_TYPE)) != unix.NFT_OBJECT_CT_HELPER {
		return
	}
	const name = 1 // NFTA_CT_HELPER_NAME
	t := r.table(family, text(b, unix.NFTA_OBJ_TABLE))
	t.helpers[text(b, unix.NFTA_OBJ_NAME)] = text(nlread.Attr(b, unix.NFTA_OBJ_DATA), name)
}

func (r *Ruleset) addSet(family uint8, b []byte) {
	flags := nlread.U32(nlread.Attr(b, unix.NFTA_SET_FLAGS))
	s := &set{name: text(b, unix.NFTA_SET_NAME), intervals: flags&unix.NFT_SET_INTERVAL != 0,
		keyLen: int(nlread.U32(nlread.Attr(b, unix.NFTA_SET_KEY_LEN)))}
	r.table(family, text(b, unix.NFTA_SET_TABLE)).sets[s.name] = s
}

func (r *Ruleset) addFlowtable(family uint8, b []byte) {
	const flowtableTable = 1 // NFTA_FLOWTABLE_TABLE
	r.Flowtables = append(r.Flowtables, r.table(family, text(b, flowtableTable)).String())
}

func text(b []byte, attr uint16) string { return string(nlread.Text(nlread.Attr(b, attr))) }

// each gives f the attributes of a list.
func each(b []byte, f func(value []byte)) {
	for _, v, rest, ok := nlread.NextAttr(b); ok; _, v, rest, ok = nlread.NextAttr(rest) {
		f(v)
	}
}
