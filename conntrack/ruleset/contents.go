package ruleset

import (
	"errors"

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
	name string
	kind uint32
}

// contents reads what stands in a table; nothing, if there is none.
func (s *socket) contents(table string) (contents, error) {
	c := contents{table: table, hooks: map[string]hook{}}
	err := errors.Join(
		s.dump(unix.NFT_MSG_GETCHAIN, table, func(b []byte) {
			name := text(attribute(b, unix.NFTA_CHAIN_NAME))
			c.chains = append(c.chains, name)
			h := attribute(b, unix.NFTA_CHAIN_HOOK)
			if h == nil || text(attribute(b, unix.NFTA_CHAIN_TYPE)) != "filter" {
				return
			}
			c.hooks[name] = hook{
				number:   be32(attribute(h, unix.NFTA_HOOK_HOOKNUM)),
				priority: int32(be32(attribute(h, unix.NFTA_HOOK_PRIORITY))),
				policy:   be32(attribute(b, unix.NFTA_CHAIN_POLICY)),
			}
		}),
		s.dump(unix.NFT_MSG_GETSET, table, func(b []byte) {
			flags := be32(attribute(b, unix.NFTA_SET_FLAGS))
			if flags&unix.NFT_SET_ANONYMOUS == 0 { // those go with their rules
				c.sets = append(c.sets, text(attribute(b, unix.NFTA_SET_NAME)))
			}
		}),
		s.dump(unix.NFT_MSG_GETOBJ, table, func(b []byte) {
			name, kind := attribute(b, unix.NFTA_OBJ_NAME), attribute(b, unix.NFTA_OBJ_TYPE)
			c.objects = append(c.objects, object{text(name), be32(kind)})
		}),
	)
	return c, err
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
