package replay

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"
)

// maxWindow bounds, in bytes, what a zstd stream may make us keep.
const maxWindow = 128 << 20

// unpacked looks through gzip and zstd, so that the format below can be told.
func unpacked(r *bufio.Reader) (*bufio.Reader, error) {
	magic, err := r.Peek(4)
	switch {
	case err != nil:
		return r, nil // too short for anything: the caller says so
	case bytes.HasPrefix(magic, []byte{0x1f, 0x8b}):
		z, err := gzip.NewReader(r)
		if err != nil {
			return nil, fmt.Errorf("read the gzip header: %w", err)
		}
		return bufio.NewReader(z), nil
	case bytes.Equal(magic, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		// With one goroutine nothing is read ahead, and there is nothing to close.
		z, err := zstd.NewReader(io.Reader(r), zstd.WithDecoderConcurrency(1),
			zstd.WithDecoderMaxWindow(maxWindow))
		if err != nil {
			return nil, fmt.Errorf("read the zstd header: %w", err)
		}
		return bufio.NewReader(z), nil
	}
	return r, nil
}
