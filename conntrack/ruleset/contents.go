package ruleset

import (
	"errors"
	"slices"

	"github.com/ftpalg/ftpalg/conntrack/internal/nlread"
	"golang.org/x/sys/unix"
)

// contents is what stands in a table beside rules.
type contents struct {
	table   string
	chains  []string
	hooks   map[string]hook // of the chains that have one
	sets    []string
	objects []object
}

// hook is where and how a chain of type filter is hooked in.
type hook struct {
	number   uint32
	priority int32
	policy   uint32
}

type object struct {
	name   string
	kind   uint32
	helper string // whose it is, if it is one for TCP over IPv4 and IPv6
}

// contents reads what stands in a table; nothing, if there is none.
func (s *socket) contents(table string) (contents, error) {
	c := contents{table: table, hooks: map[string]hook{}}
	err := errors.Join(
		s.dump(unix.NFT_MSG_GETCHAIN, table, func(b []byte) {
			name := text(nlread.Attr(b, unix.NFTA_CHAIN_NAME))
			c.chains = append(c.chains, name)
			h := nlread.Attr(b, unix.NFTA_CHAIN_HOOK)
			if h == nil || text(nlread.Attr(b, unix.NFTA_CHAIN_TYPE)) != "filter" {
				return
			}
			c.hooks[name] = hook{
				number:   nlread.U32(nlread.Attr(h, unix.NFTA_HOOK_HOOKNUM)),
				priority: int32(nlread.U32(nlread.Attr(h, unix.NFTA_HOOK_PRIORITY))),
				policy:   nlread.U32(nlread.Attr(b, unix.NFTA_CHAIN_POLICY)),
			}
		}),
		s.dump(unix.NFT_MSG_GETSET, table, func(b []byte) {
			flags := nlread.U32(nlread.Attr(b, unix.NFTA_SET_FLAGS))
			if flags&unix.NFT_SET_ANONYMOUS == 0 { // those go with their rules
				c.sets = append(c.sets, text(nlread.Attr(b, unix.NFTA_SET_NAME)))
			}
		}),
		s.dump(unix.NFT_MSG_GETOBJ, table, func(b []byte) {
			c.objects = append(c.objects, parseObject(b))
		}),
	)
	return c, err
}

func parseObject(b []byte) object {
	name, kind := nlread.Attr(b, unix.NFTA_OBJ_NAME), nlread.Attr(b, unix.NFTA_OBJ_TYPE)
	o := object{name: text(name), kind: nlread.U32(kind)}
	data := nlread.Attr(b, unix.NFTA_OBJ_DATA)
	l3, l4 := nlread.Attr(data, unix.NFTA_CT_HELPER_L3PROTO), nlread.Attr(data, unix.NFTA_CT_HELPER_L4PROTO)
	if o.kind == unix.NFT_OBJECT_CT_HELPER && nlread.U16(l3) == unix.NFPROTO_INET &&
		len(l4) == 1 && l4[0] == unix.IPPROTO_TCP {
		o.helper = text(nlread.Attr(data, unix.NFTA_CT_HELPER_NAME))
	}
	return o
}

// helps tells whether an object is as [batch.addHelper] makes it.
func (o object) helps(helper string) bool {
	return o.name == helperObject && o.helper == helper && helper != ""
}

// helped tells whether there is such an object.
func (t contents) helped(helper string) bool {
	return slices.ContainsFunc(t.objects, func(o object) bool { return o.helps(helper) })
}

// hooked returns the chains with a hook that are as c wants them, if all are.
func (t contents) hooked(c Config) map[string]bool {
	keep := map[string]bool{}
	for _, ch := range chains(c) {
		if ch.hook == nil {
			continue
		}
		if t.hooks[ch.name] != (hook{uint32(*ch.hook), c.Priority, acceptPolicy}) {
			return nil
		}
		keep[ch.name] = true
	}
	return keep
}
