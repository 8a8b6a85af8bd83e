package replay

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"
)

// ErrNoCapture is the error of what is no capture at all.
var ErrNoCapture = errors.New("neither pcap nor pcapng nor snoop")

// frame is one captured packet.
type frame struct {
	number int // from 1, as Wireshark counts
	time   time.Time
	link   layers.LinkType
	data   []byte
	cut    bool // the capture has only its beginning
}

// capture reads the frames of a capture file of any kind.
type capture struct {
	read func() ([]byte, gopacket.CaptureInfo, error)
	link layers.LinkType // of all frames; in a pcapng file each names its own
	n    int
}

// The first bytes of the kinds of files, as a little-endian number.
const (
	sectionHeader = 0x0a0d0d0a // pcapng: the type of its first block
	snoopMagic    = 0x6f6f6e73 // "snoo"
)

func openCapture(r io.Reader) (*capture, error) {
	in, err := unpacked(bufio.NewReader(r))
	if err != nil {
		return nil, err
	}
	magic, err := in.Peek(4)
	if err != nil {
		if !errors.Is(err, io.EOF) {
			return nil, err
		}
		return nil, fmt.Errorf("%w: it has only %d bytes", ErrNoCapture, len(magic))
	}
	switch binary.LittleEndian.Uint32(magic) {
	case sectionHeader:
		ng, err := pcapgo.NewNgReader(in, pcapgo.NgReaderOptions{WantMixedLinkType: true,
			SkipUnknownVersion: true})
		if err != nil {
			return nil, fmt.Errorf("read the pcapng header: %w", err)
		}
		return &capture{read: ng.ReadPacketData}, nil
	case snoopMagic:
		return openSnoop(in)
	case modifiedMagic, modifiedMagicSwapped:
		in = bufio.NewReader(newUnmodified(in))
	}
	old, err := pcapgo.NewReader(in)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNoCapture, err)
	}
	return &capture{read: old.ReadPacketData, link: old.LinkType()}, nil
}

// openSnoop opens a file of Solaris' snoop (RFC 1761).
func openSnoop(in io.Reader) (*capture, error) {
	snoop, err := pcapgo.NewSnoopReader(in)
	if err != nil {
		return nil, fmt.Errorf("read the snoop header: %w", err)
	}
	link, err := snoop.LinkType()
	if err != nil {
		return nil, fmt.Errorf("read the snoop header: %w", err)
	}
	return &capture{read: snoop.ReadPacketData, link: *link}, nil
}

// next returns the next frame; io.EOF at the end.
func (c *capture) next() (frame, error) {
	data, info, err := c.read()
	if errors.Is(err, io.EOF) {
		return frame{}, io.EOF
	}
	c.n++
	if err != nil {
		return frame{}, fmt.Errorf("frame %d: %w", c.n, err)
	}
	f := frame{number: c.n, time: info.Timestamp, link: c.link, data: data,
		cut: info.CaptureLength < info.Length}
	if len(info.AncillaryData) > 0 {
		if own, ok := info.AncillaryData[0].(layers.LinkType); ok {
			f.link = own
		}
	}
	return f, nil
}
