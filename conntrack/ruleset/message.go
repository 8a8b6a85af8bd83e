package ruleset

import (
	"encoding/binary"

	"github.com/google/nftables/expr"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

const (
	genmsgLen    = 4  // struct nfgenmsg
	batchGenID   = 1  // NFNL_BATCH_GENID, nfnetlink.h
	inetService  = 13 // nft's number of the type, which the kernel only keeps
	acceptPolicy = 1  // NF_ACCEPT
	udataComment = 7  // NFTNL_UDATA_SET_COMMENT, udata.h of libnftnl
	udataOrder   = 0  // NFTNL_UDATA_SET_KEYBYTEORDER; 2 is big endian
)

type attrs = netlink.AttributeEncoder

// encode writes attributes, whose numbers are big endian.
func encode(fill func(*attrs)) ([]byte, error) {
	e := netlink.NewAttributeEncoder()
	e.ByteOrder = binary.BigEndian
	fill(e)
	return e.Encode()
}

func nest(e *attrs, typ uint16, fill func(*attrs)) {
	e.Nested(typ, func(n *attrs) error { fill(n); return nil })
}

// appendMessage appends a message of family inet.
func appendMessage(b []byte, typ, flags uint16, seq uint32, resID uint16, body []byte) []byte {
	b = binary.NativeEndian.AppendUint32(b, uint32(unix.NLMSG_HDRLEN+genmsgLen+len(body)))
	b = binary.NativeEndian.AppendUint16(b, typ)
	b = binary.NativeEndian.AppendUint16(b, flags)
	b = binary.NativeEndian.AppendUint32(b, seq)
	b = binary.NativeEndian.AppendUint32(b, 0) // the kernel knows our port
	b = append(b, unix.NFPROTO_INET, 0, byte(resID>>8), byte(resID))
	return append(b, body...) // attributes are padded to 4 bytes
}

// batchEdge appends the message that begins or ends a transaction.
func batchEdge(b []byte, typ uint16, seq, gen uint32) []byte {
	var body []byte
	if gen != 0 {
		body = binary.NativeEndian.AppendUint16(nil, unix.SizeofNlAttr+4)
		body = binary.NativeEndian.AppendUint16(body, batchGenID)
		body = binary.BigEndian.AppendUint32(body, gen)
	}
	return appendMessage(b, typ, unix.NLM_F_REQUEST, seq, unix.NFNL_SUBSYS_NFTABLES, body)
}

// batch is a transaction in the making.
type batch struct {
	messages []change
	err      error // the first that came up in encoding
}

// change is one message of a batch.
type change struct {
	typ, flags uint16
	body       []byte
}

func (b *batch) add(typ, flags uint16, fill func(*attrs)) {
	body, err := encode(fill)
	if err != nil && b.err == nil {
		b.err = err
	}
	b.messages = append(b.messages, change{typ, flags, body})
}

func (b *batch) addTable(name string) {
	b.add(unix.NFT_MSG_NEWTABLE, unix.NLM_F_CREATE, func(e *attrs) {
		e.String(unix.NFTA_TABLE_NAME, name)
		e.Uint32(unix.NFTA_TABLE_FLAGS, 0) // wakes a dormant one
	})
}

func (b *batch) deleteTable(name string) {
	b.add(unix.NFT_MSG_DELTABLE, 0, func(e *attrs) { e.String(unix.NFTA_TABLE_NAME, name) })
}

// renewTable makes an empty table in place of what has the name. It is added
// first because removing what is not there is an error that would undo the whole
// transaction.
func (b *batch) renewTable(name string) {
	b.addTable(name)
	b.deleteTable(name)
	b.addTable(name)
}

// emptyTable removes the rules of a table, and all that is in it but for the
// chains to keep and the helper.
func (b *batch) emptyTable(c contents, keep map[string]bool, helper string) {
	b.flushRules(c.table)
	for _, name := range c.chains {
		if !keep[name] {
			b.remove(unix.NFT_MSG_DELCHAIN, c.table, unix.NFTA_CHAIN_NAME, name)
		}
	}
	for _, name := range c.sets {
		b.remove(unix.NFT_MSG_DELSET, c.table, unix.NFTA_SET_NAME, name)
	}
	for _, o := range c.objects {
		if o.helps(helper) {
			continue
		}
		b.add(unix.NFT_MSG_DELOBJ, 0, func(e *attrs) {
			e.String(unix.NFTA_OBJ_TABLE, c.table)
			e.String(unix.NFTA_OBJ_NAME, o.name)
			e.Uint32(unix.NFTA_OBJ_TYPE, o.kind)
		})
	}
}

func (b *batch) flushRules(table string) {
	b.add(unix.NFT_MSG_DELRULE, 0, func(e *attrs) { e.String(unix.NFTA_RULE_TABLE, table) })
}

func (b *batch) remove(typ uint16, table string, nameAttr uint16, name string) {
	b.add(typ, 0, func(e *attrs) {
		e.String(tableName, table)
		e.String(nameAttr, name)
	})
}

func (b *batch) addHelper(table, helper string) {
	b.add(unix.NFT_MSG_NEWOBJ, unix.NLM_F_CREATE, func(e *attrs) {
		e.String(unix.NFTA_OBJ_TABLE, table)
		e.String(unix.NFTA_OBJ_NAME, helperObject)
		e.Uint32(unix.NFTA_OBJ_TYPE, unix.NFT_OBJECT_CT_HELPER)
		nest(e, unix.NFTA_OBJ_DATA, func(e *attrs) {
			e.String(unix.NFTA_CT_HELPER_NAME, helper)
			e.Uint16(unix.NFTA_CT_HELPER_L3PROTO, unix.NFPROTO_INET)
			e.Uint8(unix.NFTA_CT_HELPER_L4PROTO, unix.IPPROTO_TCP)
		})
	})
}

// addPorts adds the set of ports, with a comment as nft writes it.
func (b *batch) addPorts(table string, ports []uint16, comment string) {
	data := binary.BigEndian.AppendUint32([]byte{udataOrder, 4}, 2)
	data = append(data, udataComment, byte(len(comment)+1))
	data = append(append(data, comment...), 0)
	b.add(unix.NFT_MSG_NEWSET, unix.NLM_F_CREATE, func(e *attrs) {
		e.String(unix.NFTA_SET_TABLE, table)
		e.String(unix.NFTA_SET_NAME, portSet)
		e.Uint32(unix.NFTA_SET_FLAGS, 0)
		e.Uint32(unix.NFTA_SET_KEY_TYPE, inetService)
		e.Uint32(unix.NFTA_SET_KEY_LEN, 2)
		e.Uint32(unix.NFTA_SET_ID, 1)
		e.Bytes(unix.NFTA_SET_USERDATA, data)
	})
	b.add(unix.NFT_MSG_NEWSETELEM, unix.NLM_F_CREATE, func(e *attrs) {
		e.String(unix.NFTA_SET_ELEM_LIST_TABLE, table)
		e.String(unix.NFTA_SET_ELEM_LIST_SET, portSet)
		nest(e, unix.NFTA_SET_ELEM_LIST_ELEMENTS, func(e *attrs) {
			for _, p := range ports {
				nest(e, unix.NFTA_LIST_ELEM, func(e *attrs) {
					nest(e, unix.NFTA_SET_ELEM_KEY, func(e *attrs) { e.Uint16(unix.NFTA_DATA_VALUE, p) })
				})
			}
		})
	})
}

func (b *batch) addChain(table string, c chain, priority int32) {
	b.add(unix.NFT_MSG_NEWCHAIN, unix.NLM_F_CREATE, func(e *attrs) {
		e.String(unix.NFTA_CHAIN_TABLE, table)
		e.String(unix.NFTA_CHAIN_NAME, c.name)
		if c.hook == nil {
			return
		}
		nest(e, unix.NFTA_CHAIN_HOOK, func(e *attrs) {
			e.Uint32(unix.NFTA_HOOK_HOOKNUM, uint32(*c.hook))
			e.Uint32(unix.NFTA_HOOK_PRIORITY, uint32(priority))
		})
		e.Uint32(unix.NFTA_CHAIN_POLICY, acceptPolicy)
		e.String(unix.NFTA_CHAIN_TYPE, "filter")
	})
}

func (b *batch) addRule(table, chain string, exprs []expr.Any) {
	b.add(unix.NFT_MSG_NEWRULE, unix.NLM_F_CREATE|unix.NLM_F_APPEND, func(e *attrs) {
		e.String(unix.NFTA_RULE_TABLE, table)
		e.String(unix.NFTA_RULE_CHAIN, chain)
		nest(e, unix.NFTA_RULE_EXPRESSIONS, func(e *attrs) {
			for _, x := range exprs {
				body, err := expr.Marshal(unix.NFPROTO_INET, x)
				if err != nil && b.err == nil {
					b.err = err
				}
				if c, ok := x.(*expr.Ct); ok && err == nil {
					shortenDirection(c, body)
				}
				e.Bytes(unix.NLA_F_NESTED|unix.NFTA_LIST_ELEM, body)
			}
		})
	})
}

// shortenDirection makes a byte of the direction that ends an expression: the package writes four, of which
// the kernel takes the first, and complains in its log.
func shortenDirection(c *expr.Ct, body []byte) {
	const length = unix.SizeofNlAttr + 4
	switch c.Key {
	case expr.CtKeySRC, expr.CtKeyDST, expr.CtKeyPROTOSRC, expr.CtKeyPROTODST:
	default:
		return
	}
	if len(body) < length {
		return
	}
	a := body[len(body)-length:]
	binary.NativeEndian.PutUint16(a, unix.SizeofNlAttr+1)
	copy(a[unix.SizeofNlAttr:], []byte{byte(c.Direction), 0, 0, 0})
}
