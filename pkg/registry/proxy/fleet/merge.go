package fleet

import "strings"

// merge is the sources that have more, as a heap: the first one has the next object. Objects
// come by key, those of one key by the names of their clusters.
type merge []*source

func newMerge(sources []*source) merge {
	var m merge
	for _, s := range sources {
		if s.head() != nil {
			m = append(m, s)
		}
	}
	for i := len(m)/2 - 1; i >= 0; i-- {
		m.down(i)
	}
	return m
}

func (m merge) less(i, j int) bool {
	if c := strings.Compare(m[i].head().key, m[j].head().key); c != 0 {
		return c < 0
	}
	return m[i].member.Name < m[j].member.Name
}

// moved puts the first source in its place after it went on.
func (m *merge) moved() {
	if (*m)[0].head() == nil {
		m.drop()
		return
	}
	m.down(0)
}

// drop takes the first source out.
func (m *merge) drop() {
	last := len(*m) - 1
	(*m)[0] = (*m)[last]
	(*m)[last] = nil
	*m = (*m)[:last]
	if last > 0 {
		m.down(0)
	}
}

func (m merge) down(i int) {
	for {
		least := i
		for child := 2*i + 1; child <= 2*i+2 && child < len(m); child++ {
			if m.less(child, least) {
				least = child
			}
		}
		if least == i {
			return
		}
		m[i], m[least] = m[least], m[i]
		i = least
	}
}
