package dialogue

import "encoding/binary"

// tlsRecords follows the record borders of one direction of a TLS session (RFC
// 8446 section 5.1), so that a return to clear text (RFC 4217 section 6, CCC) can
// be told from ciphertext that looks like it.
type tlsRecords struct {
	head    [5]byte
	n       int  // bytes of head
	left    int  // bytes of the record still to come
	sealed  bool // application data was seen: the handshake is over
	garbled bool // not TLS
}

// skip consumes data and returns the rest that is not TLS, if data returns to clear text.
func (t *tlsRecords) skip(data []byte) []byte {
	for len(data) > 0 && !t.garbled {
		if t.left > 0 {
			k := min(t.left, len(data))
			t.left -= k
			data = data[k:]
			continue
		}
		if t.n == 0 && (data[0] < 20 || data[0] > 24) {
			return data
		}
		k := copy(t.head[t.n:], data)
		t.n += k
		data = data[k:]
		if t.n == len(t.head) {
			t.n = 0
			t.left = int(binary.BigEndian.Uint16(t.head[3:]))
			t.sealed = t.sealed || t.head[0] == 23
			t.garbled = t.head[1] != 3 || t.left > 1<<14+2048
		}
	}
	return nil
}

// clear tells whether the direction may return to clear text now.
func (t *tlsRecords) clear() bool { return t.sealed && !t.garbled && t.left == 0 && t.n == 0 }
