package pack

import (
	"bytes"
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/hex"
	"encoding/json"
	"slices"
	"strings"
	"testing"
)

// bill is what is read of a bill of materials.
type bill struct {
	BOMFormat, SpecVersion, SerialNumber string
	Metadata                             struct {
		Timestamp  string
		Component  struct{ Name, Version string }
		Properties []struct{ Name, Value string }
	}
	Components []struct{ Name, Version, PURL string }
}

func TestBillOfMaterialsNamesWhatIsLinkedIn(t *testing.T) {
	deb := readDeb(t, released(t, *architecture+".deb"))
	text := released(t, "linux-"+*architecture+".cdx.json")
	if !bytes.Equal(text, deb.files[docs+"ftpalg.cdx.json"].body) {
		t.Error("the package has another bill of materials")
	}
	var b bill
	if err := json.Unmarshal(text, &b); err != nil {
		t.Fatal(err)
	}
	info, err := buildinfo.Read(bytes.NewReader(deb.files[program].body))
	if err != nil {
		t.Fatal(err)
	}
	linked := []string{"std@" + info.GoVersion}
	for _, m := range info.Deps {
		linked = append(linked, m.Path+"@"+m.Version)
	}
	var named []string
	for _, c := range b.Components {
		named = append(named, c.Name+"@"+c.Version)
	}
	slices.Sort(linked)
	slices.Sort(named)
	if !slices.Equal(linked, named) {
		t.Errorf("it names %q, and the program has %q", named, linked)
	}
	sum := sha256.Sum256(deb.files[program].body)
	if !strings.Contains(string(text), hex.EncodeToString(sum[:])) {
		t.Error("the checksum of the program is not in it")
	}
	m := b.Metadata
	if b.BOMFormat != "CycloneDX" || m.Component.Version != version || m.Timestamp != "2025-06-15T15:06:40Z" {
		t.Errorf("format %q, version %q, time %q", b.BOMFormat, m.Component.Version, m.Timestamp)
	}
}

func TestLicencesOfWhatIsLinkedInGoWithIt(t *testing.T) {
	deb := readDeb(t, released(t, *architecture+".deb"))
	info, err := buildinfo.Read(bytes.NewReader(deb.files[program].body))
	if err != nil {
		t.Fatal(err)
	}
	text := string(deb.files[docs+"THIRD-PARTY-LICENSES"].body)
	for _, m := range info.Deps {
		if !strings.Contains(text, "==== "+m.Path+" "+m.Version+", ") {
			t.Errorf("no licence of %s", m.Path)
		}
	}
	if !strings.Contains(string(deb.files[docs+"copyright"].body), "License: Expat\n") {
		t.Error("copyright names no licence")
	}
}
