package firewall

import (
	"bytes"
	"encoding/binary"
	"slices"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"github.com/ftpalg/ftpalg/conntrack/internal/nlread"
)

// set is a set or a map.
type set struct {
	name      string
	intervals bool
	keyLen    int
	elements  []element // by key
}

type element struct {
	key     []byte
	end     bool // in a set of intervals: the first key that is no longer in it
	verdict verdict
}

func (s *set) read(conn *netlink.Conn, t *table) error {
	err := dump(conn, unix.NFT_MSG_GETSETELEM, t.family, []netlink.Attribute{
		{Type: unix.NFTA_SET_ELEM_LIST_TABLE, Data: append([]byte(t.name), 0)},
		{Type: unix.NFTA_SET_ELEM_LIST_SET, Data: append([]byte(s.name), 0)},
	}, func(_ uint8, b []byte) {
		each(nlread.Attr(b, unix.NFTA_SET_ELEM_LIST_ELEMENTS), func(e []byte) {
			data := nlread.Attr(e, unix.NFTA_SET_ELEM_DATA)
			flags := nlread.U32(nlread.Attr(e, unix.NFTA_SET_ELEM_FLAGS))
			s.elements = append(s.elements, element{
				key:     nlread.Attr(nlread.Attr(e, unix.NFTA_SET_ELEM_KEY), unix.NFTA_DATA_VALUE),
				end:     flags&unix.NFT_SET_ELEM_INTERVAL_END != 0,
				verdict: parseVerdict(nlread.Attr(data, unix.NFTA_DATA_VERDICT)),
			})
		})
	})
	slices.SortStableFunc(s.elements, func(a, b element) int { return bytes.Compare(a.key, b.key) })
	return err
}

// find looks a key up; nil is one that is not known. What may be found is all of it then.
func (s *set) find(key []byte) (Answer, []verdict) {
	if s == nil || len(key) == 0 || s.keyLen > len(key) {
		return Maybe, s.verdicts()
	}
	key = key[:s.keyLen]
	var last *element
	for i := range s.elements {
		e := &s.elements[i]
		if order := bytes.Compare(e.key, key); order > 0 || order < 0 && !s.intervals {
			continue
		}
		if last == nil || !bytes.Equal(last.key, e.key) || last.end {
			last = e
		}
	}
	if last == nil || last.end {
		return No, nil
	}
	return Yes, []verdict{last.verdict}
}

func (s *set) verdicts() (all []verdict) {
	if s == nil {
		return nil
	}
	for _, e := range s.elements {
		if e.verdict != (verdict{}) && !slices.Contains(all, e.verdict) {
			all = append(all, e.verdict)
		}
	}
	return all
}

// NF_DROP and NF_ACCEPT.
const nfDrop, nfAccept = 0, 1

// verdict is what ends a rule.
type verdict struct {
	code  int32 // NF_… or NFT_…
	to    string
	known bool // else there is none
}

func parseVerdict(b []byte) verdict {
	code := nlread.Attr(b, unix.NFTA_VERDICT_CODE)
	if len(code) < 4 {
		return verdict{}
	}
	return verdict{int32(binary.BigEndian.Uint32(code)), text(b, unix.NFTA_VERDICT_CHAIN), true}
}
