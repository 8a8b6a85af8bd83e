package policy

import (
	"regexp"
	"testing"
)

func TestVerbsAreRefusedWithTheirReason(t *testing.T) {
	for _, c := range []struct {
		rules Strict
		verb  string
		want  Reason
	}{
		{Strict{}, "DELE", None},
		{Strict{}, "DE\xff\xf1LE", None},
		{Strict{ReadOnly: true}, "dele", ReadOnly},
		{Strict{ReadOnly: true}, "RETR", None},
		{Strict{ReadOnly: true}, "DE\xff\xf1LE", CommandDenied},
		{Strict{Deny: []string{"SITE"}}, "Site", CommandDenied},
		{Strict{Deny: []string{"SITE"}}, "SIZE", None},
		{Strict{Allow: []string{"RETR"}}, "retr", None},
		{Strict{Allow: []string{"RETR"}}, "STOR", CommandDenied},
		{Strict{Allow: []string{"STOR"}, ReadOnly: true}, "STOR", ReadOnly},
	} {
		if got := c.rules.Verb([]byte(c.verb)); got != c.want {
			t.Errorf("%+v: %q is refused because of %v, want %v", c.rules, c.verb, got, c.want)
		}
	}
}

func TestNamesAreDeniedByPatternAndByWhatNobodyCanRead(t *testing.T) {
	r := Strict{
		DenyUsers: []*regexp.Regexp{regexp.MustCompile("^ftp$")},
		DenyFiles: []*regexp.Regexp{regexp.MustCompile(`\.exe$`), regexp.MustCompile("^/etc/")},
	}
	for name, want := range map[string]bool{"ftp": true, "ftp2": false, "joe": false, "j\x00oe": true,
		"j\xff\xf1oe": true, "j\xffoe": false} {
		if got := r.User([]byte(name)); got != want {
			t.Errorf("user %q is denied: %v", name, got)
		}
	}
	for _, c := range []struct {
		command, arg string
		want         bool
	}{
		{"RETR", "a.exe", true}, {"retr", "/etc/passwd", true}, {"RETR", "a.exe.txt", false},
		{"USER", "a.exe", false}, {"STAT", "/etc/x", true}, {"CWD", "a\rb", true},
	} {
		if got := r.File([]byte(c.command), []byte(c.arg)); got != c.want {
			t.Errorf("%s %q is denied: %v", c.command, c.arg, got)
		}
	}
	if none := (Strict{}); none.User([]byte("j\x00oe")) || none.File([]byte("RETR"), []byte("a\rb")) {
		t.Error("without a pattern something is denied")
	}
}

func TestEnabledStandsForItsRulesAndLeavesThoseThatAreSet(t *testing.T) {
	w := Strict{Enabled: true, MaxLine: 100}.Whole()
	if !w.WaitForReply || !w.NeedCRLF || !w.Direction || !w.MaskSYST || w.MaxLine != 100 ||
		w.MaxTrailing != 8 {
		t.Errorf("%+v", w)
	}
	if off := (Strict{MaskBanner: true}).Whole(); off.Active() || off.NeedCRLF {
		t.Errorf("%+v", off)
	}
}

func TestReplyIsMaskedByItsCode(t *testing.T) {
	r := Strict{MaskBanner: true, MaskSYST: true}
	for code, want := range map[int]string{220: "banner", 215: "syst", 230: ""} {
		i := r.Masks(code)
		if got := ""; i >= 0 {
			if got = MaskedReplies[i]; got != want {
				t.Errorf("%d is masked as %q, want %q", code, got, want)
			}
		} else if want != "" {
			t.Errorf("%d is not masked", code)
		}
	}
	if off := (Strict{}); off.Masks(220) >= 0 || off.Masks(215) >= 0 {
		t.Error("without a rule something is masked")
	}
}
