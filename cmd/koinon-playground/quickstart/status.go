package quickstart

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/koinon-io/koinon/cmd/koinon-playground/home"
	"github.com/koinon-io/koinon/cmd/koinon-playground/member"
	"github.com/koinon-io/koinon/cmd/koinon-playground/process"
)

// Status prints what runs in a playground, with memory and ports. It returns whether all
// of it does.
func Status(h *home.Home, out io.Writer) (all bool, err error) {
	w := tabwriter.NewWriter(out, 0, 0, 3, ' ', 0)
	fmt.Fprintln(w, "NAME\tPROGRAM\tPID\tRSS\tPSS\tPORTS")
	s := statusPrinter{out: w, all: true}
	if mark := h.Mark.Koinon; mark != nil {
		pid, running := process.Find(h.KoinonPIDFile())
		s.print(home.Koinon, "koinon server", pid, running, []int{mark.Port})
	}
	for _, mark := range h.Mark.Clusters {
		cluster, err := h.Cluster(mark, "")
		if err != nil {
			return false, err
		}
		for _, program := range member.Programs {
			if program == member.Nodes && mark.Nodes == 0 {
				continue
			}
			pid, running := cluster.Running(program)
			s.print(mark.Name, program, pid, running, cluster.Ports(program))
		}
	}
	fmt.Fprintf(w, "total\t\t\t%s\t%s\t\n", mebibytes(s.rss), mebibytes(s.pss))
	return s.all, w.Flush()
}

// statusPrinter prints lines and adds up.
type statusPrinter struct {
	out      io.Writer
	all      bool
	rss, pss int64
}

func (s *statusPrinter) print(name, program string, pid int, running bool, ports []int) {
	if !running {
		s.all = false
		fmt.Fprintf(s.out, "%s\t%s\tdoes not run\t\t\t\n", name, program)
		return
	}
	rss, pss := process.Memory(pid)
	s.rss, s.pss = s.rss+rss, s.pss+pss
	var list []string
	for _, port := range ports {
		list = append(list, strconv.Itoa(port))
	}
	fmt.Fprintf(s.out, "%s\t%s\t%d\t%s\t%s\t%s\n", name, program, pid, mebibytes(rss), mebibytes(pss), strings.Join(list, ","))
}

func mebibytes(n int64) string { return fmt.Sprintf("%d MiB", n>>20) }
