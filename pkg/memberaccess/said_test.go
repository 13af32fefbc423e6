package memberaccess

import "testing"

func TestWhatAMemberSaysIsOnePrintableLine(t *testing.T) {
	for sentence, test := range map[string]struct{ text, want string }{
		"as it is":                              {"no such pod", "no such pod"},
		"in one line":                           {"no\nsuch\tpod", "no such pod"},
		"without what moves a terminal":         {"\x1b[2Jno", "?[2Jno"},
		"without what is no text":               {"n\xffo", "n?o"},
		"cut":                                   {"0123456789abcdefg", "0123456789abcdef…"},
		"cut between letters of several bytes":  {"0123456789abcdeä!", "0123456789abcde…"},
		"whole where it is just not too long":   {"0123456789abcdef", "0123456789abcdef"},
		"in letters that are not those of ours": {"нет", "нет"},
	} {
		if got := Said(test.text, 16); got != test.want {
			t.Errorf("%s: got %q, want %q", sentence, got, test.want)
		}
	}
}
