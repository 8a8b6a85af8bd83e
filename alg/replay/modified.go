package replay

import (
	"encoding/binary"
	"io"
)

// The magic numbers of pcap as Alexey Kuznetzov modified it, and of the usual one. The modified one has
// 8 bytes more in the header of each record: interface, protocol and packet type (libpcap's sf-pcap.c).
const (
	modifiedMagic        = 0xa1b2cd34
	modifiedMagicSwapped = 0x34cdb2a1
	usualMagic           = 0xa1b2c3d4

	fileHeaderLen   = 24
	recordHeaderLen = 16
	extraLen        = 8
)

// unmodified reads modified pcap as if it were the usual one.
type unmodified struct {
	r       io.Reader
	order   binary.ByteOrder
	pending []byte // of a header, not read yet
	data    int64  // bytes left of the record under way
	head    [fileHeaderLen]byte
	started bool
}

func newUnmodified(r io.Reader) *unmodified { return &unmodified{r: r} }

// Read implements io.Reader. A file that ends within a header ends with io.ErrUnexpectedEOF.
func (u *unmodified) Read(b []byte) (int, error) {
	if len(u.pending) == 0 && u.data == 0 {
		if err := u.header(); err != nil {
			return 0, err
		}
	}
	if len(u.pending) > 0 {
		n := copy(b, u.pending)
		u.pending = u.pending[n:]
		return n, nil
	}
	n, err := u.r.Read(b[:min(int64(len(b)), u.data)])
	u.data -= int64(n)
	return n, err
}

// header takes the header of the file, or of the next record.
func (u *unmodified) header() error {
	if !u.started {
		u.started = true
		if _, err := io.ReadFull(u.r, u.head[:]); err != nil {
			return err
		}
		u.order = binary.LittleEndian
		if binary.LittleEndian.Uint32(u.head[:]) == modifiedMagicSwapped {
			u.order = binary.BigEndian
		}
		u.order.PutUint32(u.head[:], usualMagic)
		u.pending = u.head[:]
		return nil
	}
	if _, err := io.ReadFull(u.r, u.head[:recordHeaderLen+extraLen]); err != nil {
		return err
	}
	u.pending, u.data = u.head[:recordHeaderLen], int64(u.order.Uint32(u.head[8:]))
	return nil
}
