package ring
import ("testing";"math/rand/v2")
func BenchmarkReweigh(b *testing.B){
	rng:=rand.New(rand.NewPCG(1,2))
	mk:=func()[]Member{var ms []Member; for i:=range 200 {ms=append(ms,Member{ID:NodeID(i+1),Weight:1+rng.Uint32N(10)})}; return ms}
	cur,_:=New(1024)
	cur,_=Plan(cur,mk(),3)
	ms:=mk()
	for b.Loop(){ Plan(cur,ms,3) }
}
