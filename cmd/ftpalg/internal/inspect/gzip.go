package inspect

import (
	"bufio"
	"compress/gzip"
	"fmt"
)

// unzipped looks through gzip, so that the format below can be told.
func unzipped(r *bufio.Reader) (*bufio.Reader, error) {
	if magic, err := r.Peek(2); err != nil || magic[0] != 0x1f || magic[1] != 0x8b {
		return r, nil
	}
	z, err := gzip.NewReader(r)
	if err != nil {
		return nil, fmt.Errorf("read the gzip header: %w", err)
	}
	return bufio.NewReader(z), nil
}
