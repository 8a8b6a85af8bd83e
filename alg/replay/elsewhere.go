package replay

import (
	"bytes"
	"slices"

	"github.com/ftpalg/ftpalg/conntrack"
	"github.com/ftpalg/ftpalg/rewrite"
)

// Bounds on what is kept to find FTP on other ports.
const (
	maxGreeted   = 4096
	maxElsewhere = 16
)

// lookElsewhere looks at a packet that belongs to nothing: a server that greets with 220 and a client that
// logs in look like FTP. SMTP greets so too, but its clients say HELO.
func (re *replay) lookElsewhere(p *rewrite.Packet) {
	b := p.Payload()
	switch {
	case bytes.HasPrefix(b, []byte("220 ")), bytes.HasPrefix(b, []byte("220-")):
		if len(re.greeted) >= maxGreeted {
			clear(re.greeted)
		}
		re.greeted[tupleOf(p)] = struct{}{}
	case bytes.HasPrefix(b, []byte("USER ")), bytes.HasPrefix(b, []byte("AUTH TLS")):
		server := p.Dst()
		key := conntrack.Tuple{Src: server, Dst: p.Src()}
		if _, ok := re.greeted[key]; !ok {
			return
		}
		delete(re.greeted, key)
		if ports := &re.sum.Elsewhere; !slices.Contains(*ports, server.Port()) && len(*ports) < maxElsewhere {
			*ports = append(*ports, server.Port())
		}
	}
}
