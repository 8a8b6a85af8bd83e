package pack

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strconv"
	"strings"
	"testing"
)

// file is what a package installs at a path.
type file struct {
	mode   fs.FileMode
	owner  string
	config bool
	body   []byte
}

// contents is a package taken apart.
type contents struct {
	files   map[string]file
	scripts map[string]string // by the names of deb; those that apk has besides, by their own
	fields  map[string]string // of control, or the like
}

func newContents() *contents {
	return &contents{files: map[string]file{}, scripts: map[string]string{}, fields: map[string]string{}}
}

// keep marks the files that an upgrade does not overwrite.
func (c *contents) keep(t *testing.T, list string) {
	t.Helper()
	for _, name := range strings.Fields(list) {
		f, ok := c.files[name]
		if !ok {
			t.Errorf("%s is to be kept, and is not there", name)
		}
		f.config = true
		c.files[name] = f
	}
}

// readFields reads lines of "name: value", or of "name = value".
func (c *contents) readFields(text, separator string) {
	for line := range strings.Lines(text) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), separator); ok {
			c.fields[name] = value
		}
	}
}

func unzip(t *testing.T, b []byte) []byte {
	t.Helper()
	z, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	out, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// untar calls f for everything in an archive but directories.
func untar(t *testing.T, b []byte, f func(h *tar.Header, name string, body []byte)) {
	t.Helper()
	r := tar.NewReader(bytes.NewReader(b))
	for {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		if h.Typeflag != tar.TypeDir {
			f(h, path.Join("/", h.Name), body)
		}
	}
}

// install takes the files of an archive.
func (c *contents) install(t *testing.T, archive []byte) {
	t.Helper()
	untar(t, archive, func(h *tar.Header, name string, body []byte) {
		owner := fmt.Sprint(h.Uid, ":", h.Gid)
		c.files[name] = file{mode: h.FileInfo().Mode(), owner: owner, body: body}
	})
}

func readTar(t *testing.T, b []byte) *contents {
	c := newContents()
	c.install(t, unzip(t, b))
	return c
}

// control reads control.tar of deb and ipk.
func (c *contents) control(t *testing.T, archive []byte) {
	t.Helper()
	kept := ""
	untar(t, archive, func(_ *tar.Header, name string, body []byte) {
		switch name {
		case "/control":
			c.readFields(string(body), ": ")
		case "/conffiles":
			kept = string(body)
		case "/md5sums":
		default:
			c.scripts[name[1:]] = string(body)
		}
	})
	c.keep(t, kept)
}

// arHeader is the length of the header of a member of an ar archive.
const arHeader = 60

func readDeb(t *testing.T, b []byte) *contents {
	c := newContents()
	members := map[string][]byte{}
	b = bytes.TrimPrefix(b, []byte("!<arch>\n"))
	for len(b) >= arHeader {
		size, err := strconv.Atoi(strings.TrimSpace(string(b[48:58])))
		if err != nil || size > len(b)-arHeader {
			t.Fatalf("a member of %q bytes", b[48:58])
		}
		name := strings.TrimRight(string(b[:16]), " /")
		members[name] = b[arHeader : arHeader+size]
		b = b[min(len(b), arHeader+size+size%2):]
	}
	c.install(t, unzip(t, members["data.tar.gz"]))
	c.control(t, unzip(t, members["control.tar.gz"]))
	return c
}

func readIpk(t *testing.T, b []byte) *contents {
	c := newContents()
	members := map[string][]byte{}
	untar(t, unzip(t, b), func(_ *tar.Header, name string, body []byte) { members[name] = body })
	c.install(t, unzip(t, members["/data.tar.gz"]))
	c.control(t, unzip(t, members["/control.tar.gz"]))
	return c
}

// readApk reads the two gzip streams of a package that is not signed: what belongs to the package, then the
// files, in one archive of tar. OpenWrt keeps what lies in /etc/config, and apk marks nothing.
func readApk(t *testing.T, b []byte) *contents {
	c := newContents()
	all := newContents()
	all.install(t, unzip(t, b))
	for name, f := range all.files {
		switch base := path.Base(name); {
		case name == "/.PKGINFO":
			c.readFields(string(f.body), " = ")
		case path.Dir(name) == "/" && base[0] == '.':
			c.scripts[base[1:]] = string(f.body)
		default:
			f.config = strings.HasPrefix(name, "/etc/config/")
			c.files[name] = f
		}
	}
	for of, name := range map[string]string{"postinst": "post-install", "prerm": "pre-deinstall"} {
		c.scripts[of] = c.scripts[name]
		delete(c.scripts, name)
	}
	return c
}

// Tags of a package of rpm, from its lib/rpmtag.h, and the flags of a configuration file.
const (
	rpmVersion, rpmArch                     = 1001, 1022
	rpmPostInstall, rpmPreRemove            = 1024, 1025
	rpmPostRemove, rpmModes, rpmFileFlags   = 1026, 1030, 1037
	rpmUsers, rpmGroups                     = 1039, 1040
	rpmDirIndexes, rpmBaseNames, rpmDirs    = 1116, 1117, 1118
	rpmLead, rpmFlagConfig, rpmFlagNoUpdate = 96, 1, 16
)

// rpmHeader is one of the two headers of a package of rpm.
type rpmHeader struct {
	t     *testing.T
	index map[uint32]uint32 // where the value of a tag lies
	count map[uint32]int
	store []byte
}

// readRPMHeader returns a header, and what comes after it.
func readRPMHeader(t *testing.T, b []byte) (h rpmHeader, rest []byte) {
	t.Helper()
	if !bytes.HasPrefix(b, []byte{0x8e, 0xad, 0xe8, 1}) {
		t.Fatal("no header of rpm")
	}
	entries, size := binary.BigEndian.Uint32(b[8:]), binary.BigEndian.Uint32(b[12:])
	h = rpmHeader{t, map[uint32]uint32{}, map[uint32]int{}, b[16+16*entries:][:size]}
	for i := range entries {
		e := b[16+16*i:]
		tag := binary.BigEndian.Uint32(e)
		h.index[tag], h.count[tag] = binary.BigEndian.Uint32(e[8:]), int(binary.BigEndian.Uint32(e[12:]))
	}
	return h, b[16+16*entries+size:]
}

func (h rpmHeader) strings(tag uint32) []string {
	return strings.SplitN(string(h.store[h.index[tag]:]), "\x00", h.count[tag]+1)[:h.count[tag]]
}

func (h rpmHeader) text(tag uint32) string { return strings.Join(h.strings(tag), "\n") }

// number returns the i-th number of a list of words of size bytes.
func (h rpmHeader) number(tag uint32, i, size int) uint32 {
	b := h.store[int(h.index[tag])+size*i:]
	if size == 2 {
		return uint32(binary.BigEndian.Uint16(b))
	}
	return binary.BigEndian.Uint32(b)
}

func readRPM(t *testing.T, b []byte) *contents {
	c := newContents()
	signature, rest := readRPMHeader(t, b[rpmLead:])
	h, payload := readRPMHeader(t, rest[(8-len(signature.store)%8)%8:])
	c.fields["Version"], c.fields["Architecture"] = h.text(rpmVersion), h.text(rpmArch)
	for tag, name := range map[uint32]string{
		rpmPostInstall: "postinst", rpmPreRemove: "prerm", rpmPostRemove: "postrm",
	} {
		c.scripts[name] = h.text(tag)
	}
	bodies := readCPIO(t, unzip(t, payload))
	dirs, users, groups := h.strings(rpmDirs), h.strings(rpmUsers), h.strings(rpmGroups)
	for i, base := range h.strings(rpmBaseNames) {
		name := dirs[h.number(rpmDirIndexes, i, 4)] + base
		mode := h.number(rpmModes, i, 2)
		if mode&0o170000 == 0o040000 {
			continue // a directory
		}
		flags := h.number(rpmFileFlags, i, 4)
		const kept = rpmFlagConfig | rpmFlagNoUpdate
		owner := strings.ReplaceAll(users[i]+":"+groups[i], "root", "0")
		c.files[name] = file{fs.FileMode(mode & 0o7777), owner, flags&kept == kept, bodies[name]}
	}
	return c
}

// readCPIO reads the "new ASCII" format.
func readCPIO(t *testing.T, b []byte) map[string][]byte {
	t.Helper()
	const header = 110
	found := map[string][]byte{}
	for len(b) >= header {
		field := func(i int) int {
			n, err := strconv.ParseUint(string(b[6+8*i:14+8*i]), 16, 32)
			if err != nil {
				t.Fatal(err)
			}
			return int(n)
		}
		size, nameLen := field(6), field(11)
		name := string(b[header : header+nameLen-1])
		if name == "TRAILER!!!" {
			break
		}
		at := (header + nameLen + 3) &^ 3
		found[path.Join("/", name)] = b[at : at+size]
		b = b[(at+size+3)&^3:]
	}
	return found
}
