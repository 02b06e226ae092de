package cluster

// Settings are fixed by whoever founds the cluster.
type Settings struct {
	Cluster    string `json:"cluster"`   // 32 hexadecimal digits
	HashSeed   uint64 `json:"hash_seed"` // at most 53 bits, so that every JSON reader keeps it exact
	Partitions int    `json:"partitions"`
	Replicas   int    `json:"replicas"`
	MaxVoters  int    `json:"max_voters"`
}

// compare refuses flags that differ from what is fixed.
func (s Settings) compare(wanted Settings) error {
	for _, f := range []struct {
		flag        string
		fixed, want int
	}{
		{"partitions", s.Partitions, wanted.Partitions},
		{"replicas", s.Replicas, wanted.Replicas},
		{"max-voters", s.MaxVoters, wanted.MaxVoters},
	} {
		if f.fixed != f.want {
			return refuse("-%s is %d here, but %d in the cluster: it is fixed when the cluster is created, so start with -%s %d", f.flag, f.want, f.fixed, f.flag, f.fixed)
		}
	}
	return nil
}
