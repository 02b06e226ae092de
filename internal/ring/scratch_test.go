package ring
import ("testing";"math/rand/v2";"time";"fmt")
func TestScratch(t *testing.T){
	rng:=rand.New(rand.NewPCG(1,2))
	for _,c:=range []struct{n,z,r,q int; w uint32}{{200,0,3,1024,1},{200,0,3,1024,10},{200,5,3,1024,10},{200,3,3,1024,10},{200,2,3,1024,10},{200,4,7,1024,1000},{200,4,3,16384,10},{1000,10,3,16384,10},{1000,0,3,16384,10},{7,3,3,1024,10},{10,0,3,1024,100}} {
		mk:=func(n int)[]Member{var ms []Member; for i:=range n {m:=Member{ID:NodeID(i+1),Weight:1+rng.Uint32N(c.w)}; if c.z>0{m.Zone=fmt.Sprint(rng.IntN(c.z))}; ms=append(ms,m)}; return ms}
		ms:=mk(c.n)
		cur,_:=New(c.q)
		step:=func(what string){
			searches=0
			t0:=time.Now(); next,err:=Plan(cur,ms,c.r); if err!=nil{t.Fatal(err)}
			moved:=0
			for i,s:=range next.Sets{for _,n:=range s.Current{if !cur.Sets[i].Holds(n){moved++}}}
			fmt.Printf("%v %s: %v moved %d searches %d\n",c,what,time.Since(t0).Round(time.Millisecond),moved,searches)
			cur=next
		}
		step("first")
		step("again")
		ms=append(ms,Member{ID:9999,Weight:ms[0].Weight,Zone:ms[0].Zone}); step("join")
		ms[3].State=Draining; step("drain")
		for i:=range ms{if i%3==1{ms[i].Weight=1+rng.Uint32N(c.w)}}; step("reweigh")
		x:=mk(c.n); for i:=range ms[:c.n]{ms[i].Zone=x[i].Zone}; step("rezone")
		ms=mk(c.n); step("all new weights+zones")
		if c.r>1 {c.r--; step("shrink"); c.r++; step("grow")}
	}
}
