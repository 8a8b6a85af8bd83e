package ftp

import "testing"

func TestParseCommand(t *testing.T) {
	for _, tt := range []struct {
		line string
		verb Verb
		name string
		arg  string
	}{
		{"", None, "", ""},
		{"\r\n", None, "", ""},
		{" \t\r\n", None, "", ""},
		{"\x00\r\n", None, "", ""},
		{"\xff\xf4\xff\xf2", None, "", ""},
		{"\xff", None, "", ""},
		{"\xff\xfb", None, "", ""},
		{"\xff\xfb\r\n", None, "", ""},
		{"USER joe\r\n", User, "USER", "joe"},
		{"user joe", User, "user", "joe"},
		{"PASS a b \r\n", Pass, "PASS", "a b"},
		{"PoRt 1,2,3,4,5,6\r\n", Port, "PoRt", "1,2,3,4,5,6"},
		{"PORT  1,2\r\n", Port, "PORT", "1,2"},
		{"PORT\t1,2\r\n", Port, "PORT", "1,2"},
		{" PORT 1,2 \t\r\n", Port, "PORT", "1,2"},
		{"PORT 1,2\n", Port, "PORT", "1,2"},
		{"PORT 1,2\r", Port, "PORT", "1,2"},
		{"PORT 1,2\r\r\n", Port, "PORT", "1,2"},
		{"PORT 1,2\r\x00\n", Port, "PORT", "1,2\r\x00"},
		{"\rPORT 1\n", Port, "PORT", "1"},
		{"\x00PORT 1\n", Port, "PORT", "1"},
		{"PORT\r\n", Port, "PORT", ""},
		{"PORT \r\n", Port, "PORT", ""},
		{"PORT1,2\r\n", Other, "PORT1,2", ""},
		{"PORTS 1\r\n", Other, "PORTS", "1"},
		{"POR 1\r\n", Other, "POR", "1"},
		{"NOOP\rPORT 1\r\n", Other, "NOOP\rPORT", "1"},
		{"NOOP\nPORT 1\r\n", Other, "NOOP", ""},
		{"\xff \r\n", Other, "\xff", ""},
		{"\xff\xf4\xff\xf2ABOR\r\n", Other, "ABOR", ""},
		{"\xff\xf2PORT 1\r\n", Port, "PORT", "1"},
		{"\xff\xfb\x01\xff\xfd\x03PASV\r\n", Pasv, "PASV", ""},
		{"\xff\xffPASV\r\n", Other, "\xff\xffPASV", ""},
		{"RETR \xffa\r\n", Transfer, "RETR", "\xffa"},
		{"RETR PORT 1\r\n", Transfer, "RETR", "PORT 1"},
		{"stor a", Transfer, "stor", "a"}, {"STOU", Transfer, "STOU", ""}, {"APPE a", Transfer, "APPE", "a"},
		{"LIST", Transfer, "LIST", ""}, {"NLST", Transfer, "NLST", ""}, {"MLSD", Transfer, "MLSD", ""},
		{"MLST", Other, "MLST", ""},
		{"EPRT |1|", EPRT, "EPRT", "|1|"}, {"EPSV ALL", EPSV, "EPSV", "ALL"}, {"CPSV", CPSV, "CPSV", ""},
		{"LPRT 4", LPRT, "LPRT", "4"}, {"LPSV", LPSV, "LPSV", ""}, {"SPSV", LPSV, "SPSV", ""},
		{"ACCT a", Acct, "ACCT", "a"}, {"REIN", Rein, "REIN", ""}, {"QUIT", Quit, "QUIT", ""},
		{"HOST a", Host, "HOST", "a"},
		{"AUTH TLS", Auth, "AUTH", "TLS"}, {"CCC", CCC, "CCC", ""}, {"XPWD", Other, "XPWD", ""},
	} {
		c := ParseCommand([]byte(tt.line))
		if arg := tt.line[c.ArgStart:c.ArgEnd]; c.Verb != tt.verb || string(c.Name) != tt.name ||
			tt.line[c.NameStart:c.NameEnd] != tt.name || arg != tt.arg {
			t.Errorf("%q: %v %q %q; want %v %q %q", tt.line, c.Verb, c.Name, arg, tt.verb, tt.name, tt.arg)
		}
	}
}

func TestVerbNamesAreWhatIsParsed(t *testing.T) {
	for v := User; v < Transfer; v++ {
		if got := ParseCommand([]byte(v.String())).Verb; got != v {
			t.Errorf("%v is parsed as %v", v, got)
		}
	}
	if s := Verb(NumVerbs).String(); s != "invalid" {
		t.Error(s)
	}
}

func TestEPSVAll(t *testing.T) {
	for arg, want := range map[string]bool{"ALL": true, "all": true, "aLl": true, "": false, "1": false,
		"AL": false, "ALLO": false} {
		if EPSVAll([]byte(arg)) != want {
			t.Errorf("%q: %v", arg, !want)
		}
	}
}

func FuzzParseCommand(f *testing.F) {
	for _, s := range []string{"", "PORT 1,2,3,4,5,6\r\n", "\xff\xf4\xff\xf2ABOR\r\n", " port\t1 \r\r\n",
		"A\nB", "\xff 00000", "0\r 0", "\xff\xfb\r\n", "GET / HTTP/1.1\r\n"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		c := ParseCommand(line)
		if !(0 <= c.NameStart && c.NameStart <= c.NameEnd && c.NameEnd <= c.ArgStart &&
			c.ArgStart <= c.ArgEnd && c.ArgEnd <= len(line)) {
			t.Fatalf("spans out of order: %+v", c)
		}
		if (c.Verb == None) != (c.NameStart == c.NameEnd) ||
			string(c.Name) != string(line[c.NameStart:c.NameEnd]) {
			t.Fatalf("verb and name differ: %+v", c)
		}
		if c.Verb == None && Foreign(line) {
			t.Fatal("a blank line is foreign")
		}
		again := append(append([]byte(nil), line[c.NameStart:c.NameEnd]...), ' ')
		again = append(append(again, line[c.ArgStart:c.ArgEnd]...), "\r\n"...)
		if d := ParseCommand(again); d.Verb != c.Verb || string(d.Name) != string(c.Name) ||
			string(again[d.ArgStart:d.ArgEnd]) != string(line[c.ArgStart:c.ArgEnd]) {
			t.Fatalf("%q is %+v; tidied up %q is %+v", line, c, again, d)
		}
		// What is known of the command stays, whatever comes behind it. A carriage return
		// before the blank might have been the line's end.
		if c.Verb == None || line[c.NameEnd-1] == '\r' {
			return
		}
		for n := c.NameEnd + 1; n < len(line) && c.NameEnd < c.ArgStart; n++ {
			if d := ParseCommand(line[:n]); d.Verb != c.Verb || d.NameStart != c.NameStart ||
				d.NameEnd != c.NameEnd {
				t.Fatalf("%q is %v; its beginning %q is %v", line, c.Verb, line[:n], d.Verb)
			}
		}
	})
}

func FuzzForeign(f *testing.F) {
	for _, s := range []string{"GET / HTTP/1.1\r\n", "\x16\x03\x01", "P@SW\r\n", "PROPFIND /a HTTP/1.1",
		"STOR a HTTP/1.1"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		// No command of FTP's own is foreign, whatever its argument.
		if c := ParseCommand(line); c.Verb > Other && Foreign(line) {
			t.Fatalf("%q is foreign", line)
		}
	})
}
