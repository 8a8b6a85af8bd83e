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

// In returns where the kernel looks up packets of a direction of a flow: the zone's number if it keeps
// that direction apart, else 0. With addresses and ports that is what tells a packet's flow from all others.
func (z Zone) In(d Dir) uint16 {
	if z.Dir == ZoneBoth || z.Dir == ZoneDir(d+1) {
		return z.ID
	}
	return 0
}

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

// EntryOf reads the zone and the number (Flow.ID) from the attributes of an entry, as they also come with the
// packets of a queue.
func EntryOf(attrs []byte) (z Zone, id uint32) {
	for typ, v, rest, ok := nlread.NextAttr(attrs); ok; typ, v, rest, ok = nlread.NextAttr(rest) {
		if typ == ctaID {
			id = nlread.U32(v)
		}
		zoneIn(typ, v, &z)
	}
	return z, id
}

// placed notes in the tuples of f in which zone each is looked up.
func (f *Flow) placed() {
	for d := range f.Tuple {
		f.Tuple[d].Zone = f.Zone.In(Dir(d))
	}
}

// key writes t as the tuple by which the kernel finds an entry. It compares the zone with that of the
// direction that has the tuple, whatever kind of zone it is (nf_conntrack_find_get in
// net/netfilter/nf_conntrack_core.c).
func (e *encoder) key(t Tuple) {
	e.tuple(ctaTupleOrig, t)
	e.zone(Zone{ID: t.Zone})
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
