package inspect

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

// frame is one captured packet.
type frame struct {
	number int // from 1, as Wireshark counts
	time   time.Time
	link   layers.LinkType
	data   []byte
}

// capture reads pcap and pcapng, also compressed with gzip.
type capture struct {
	read func() ([]byte, gopacket.CaptureInfo, error)
	link layers.LinkType // of all frames; in a pcapng file each names its own
	n    int
}

// sectionHeader is the block type with which a pcapng file begins.
const sectionHeader = 0x0a0d0d0a

func openCapture(r io.Reader) (*capture, error) {
	in, err := unzipped(bufio.NewReader(r))
	if err != nil {
		return nil, err
	}
	magic, err := in.Peek(4)
	if err != nil {
		return nil, fmt.Errorf("not a capture: it has only %d bytes", len(magic))
	}
	if binary.LittleEndian.Uint32(magic) == sectionHeader {
		ng, err := pcapgo.NewNgReader(in, pcapgo.NgReaderOptions{WantMixedLinkType: true, SkipUnknownVersion: true})
		if err != nil {
			return nil, fmt.Errorf("read the pcapng header: %w", err)
		}
		return &capture{read: ng.ReadPacketData}, nil
	}
	old, err := pcapgo.NewReader(in)
	if err != nil {
		return nil, fmt.Errorf("neither pcap nor pcapng: %w", err)
	}
	return &capture{read: old.ReadPacketData, link: old.LinkType()}, nil
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
	f := frame{number: c.n, time: info.Timestamp, link: c.link, data: data}
	if len(info.AncillaryData) > 0 {
		if own, ok := info.AncillaryData[0].(layers.LinkType); ok {
			f.link = own
		}
	}
	return f, nil
}
