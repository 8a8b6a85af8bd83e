package conntrack

import (
	"github.com/ftpalg/ftpalg/conntrack/internal/nlread"
	"golang.org/x/sys/unix"
)

// Zone is the conntrack zone of a flow: tables apart, so that the same addresses can be
// in use behind several interfaces ("ct zone set 5" of nftables). The zero value is the
// default zone.
type Zone struct {
	ID  uint16
	Dir ZoneDir // of no meaning if ID is 0
}

// ZoneDir tells in which direction a zone keeps flows apart (nf_ct_zone.dir).
type ZoneDir uint8

const (
	ZoneBoth     ZoneDir = iota // "ct zone set"
	ZoneOriginal                // "ct original zone set": answers are found without a zone
	ZoneReply                   // "ct reply zone set": only answers are found in it
)

// zoneIn reads the zone from the attributes of an entry. Of a zone for one direction the
// kernel tells in the tuple of that direction (ctnetlink_fill_info).
func zoneIn(typ uint16, v []byte, z *Zone) {
	switch typ {
	case ctaZone:
		*z = Zone{ID: nlread.U16(v)}
	case ctaTupleOrig, ctaTupleReply:
		if id := nlread.U16(nlread.Attr(v, ctaTupleZone)); id != 0 {
			*z = Zone{ID: id, Dir: ZoneDir(typ)}
		}
	}
}

// key writes t as the tuple by which the kernel finds an entry of the zone. Found are the
// tuples of both directions, because the kernel looks in the zone of either
// (nf_conntrack_find_get in net/netfilter/nf_conntrack_core.c).
func (e *encoder) key(t Tuple, z Zone) {
	typ := uint16(ctaTupleOrig)
	if z.ID != 0 && z.Dir == ZoneReply {
		typ = ctaTupleReply
	}
	e.tupleIn(typ, t, z)
	e.zone(z)
}

// tupleIn writes a tuple, with the zone if it is one of that direction alone.
func (e *encoder) tupleIn(typ uint16, t Tuple, z Zone) {
	at := e.nest(typ)
	e.addresses(t, unix.IPPROTO_TCP)
	if z.ID != 0 && z.Dir == ZoneDir(typ) {
		e.u16(ctaTupleZone, z.ID)
	}
	e.end(at)
}

// zone writes a zone that holds for both directions.
func (e *encoder) zone(z Zone) {
	if z.ID != 0 && z.Dir == ZoneBoth {
		e.u16(ctaZone, z.ID)
	}
}
