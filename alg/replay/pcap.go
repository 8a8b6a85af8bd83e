package replay

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"
)

// The magic numbers of pcap. Modified is what Alexey Kuznetzov made of it: 8 bytes more in the header of each
// record, for interface, protocol and packet type (libpcap's sf-pcap.c).
const (
	microMagic    = 0xa1b2c3d4
	nanoMagic     = 0xa1b23c4d
	modifiedMagic = 0xa1b2cd34
)

// pcapFile reads the records of a file as draft-ietf-opsawg-pcap has it.
type pcapFile struct {
	r     io.Reader
	order binary.ByteOrder
	tick  time.Duration // the unit of what is not whole seconds
	head  []byte        // room for the header of a record
	link  linkType
}

func openPcap(r io.Reader) (func() (frame, error), error) {
	var b [24]byte
	if err := within(r, b[:]); err != nil {
		if errors.Is(err, io.ErrUnexpectedEOF) {
			err = errors.New("it has less than a header")
		}
		return nil, fmt.Errorf("%w: %w", ErrNoCapture, err)
	}
	p := &pcapFile{r: r, tick: time.Microsecond, head: make([]byte, 16)}
	var magic uint32
	for _, p.order = range []binary.ByteOrder{binary.LittleEndian, binary.BigEndian} {
		if magic = p.order.Uint32(b[:]); magic>>16 == microMagic>>16 {
			break
		}
	}
	switch magic {
	case microMagic:
	case nanoMagic:
		p.tick = time.Nanosecond
	case modifiedMagic:
		p.head = make([]byte, 16+8)
	default:
		return nil, fmt.Errorf("%w: it begins with %x", ErrNoCapture, b[:4])
	}
	if major, minor := p.order.Uint16(b[4:]), p.order.Uint16(b[6:]); major != 2 || minor != 4 {
		return nil, fmt.Errorf("%w: pcap of version %d.%d, and only 2.4 can be read", ErrNoCapture,
			major, minor)
	}
	// The upper half tells of frame check sequences.
	p.link = linkType(p.order.Uint32(b[20:]))
	return p.next, nil
}

func (p *pcapFile) next() (frame, error) {
	if _, err := io.ReadFull(p.r, p.head); err != nil {
		return frame{}, err
	}
	captured, length := p.order.Uint32(p.head[8:]), p.order.Uint32(p.head[12:])
	data, err := frameData(p.r, captured)
	at := time.Unix(int64(p.order.Uint32(p.head)), int64(p.order.Uint32(p.head[4:]))*int64(p.tick))
	return frame{time: at.UTC(), link: p.link, data: data, cut: captured < length}, err
}

// snoopFile reads the records of a file of Solaris' snoop (RFC 1761).
type snoopFile struct {
	r    io.Reader
	head [24]byte
}

func openSnoop(r io.Reader) (func() (frame, error), error) {
	s := &snoopFile{r: r}
	if err := within(r, s.head[:16]); err != nil {
		return nil, fmt.Errorf("read the snoop header: %w", err)
	}
	version, link := binary.BigEndian.Uint32(s.head[8:]), binary.BigEndian.Uint32(s.head[12:])
	if string(s.head[:8]) != "snoop\x00\x00\x00" {
		return nil, fmt.Errorf("%w: it begins with %q", ErrNoCapture, s.head[:8])
	}
	// 0 is IEEE 802.3, 4 is Ethernet.
	if version != 2 || link != 0 && link != 4 {
		return nil, fmt.Errorf("snoop of version %d and link type %d, and only version 2 of Ethernet can be "+
			"read", version, link)
	}
	return s.next, nil
}

func (s *snoopFile) next() (frame, error) {
	if _, err := io.ReadFull(s.r, s.head[:]); err != nil {
		return frame{}, err
	}
	field := func(i int) uint32 { return binary.BigEndian.Uint32(s.head[4*i:]) }
	length, captured, record := field(0), field(1), field(2)
	data, err := frameData(s.r, captured)
	if err != nil {
		return frame{}, err
	}
	pad := int64(record) - int64(len(s.head)) - int64(captured)
	if pad < 0 {
		return frame{}, fmt.Errorf("a record of %d bytes has %d of a frame", record, captured)
	}
	if _, err := io.CopyN(io.Discard, s.r, pad); err != nil {
		return frame{}, unexpected(err)
	}
	at := time.Unix(int64(field(4)), int64(field(5))*int64(time.Microsecond))
	return frame{time: at.UTC(), link: linkEthernet, data: data, cut: captured < length}, nil
}
