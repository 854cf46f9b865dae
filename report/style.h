// The style and the script of every page.
#pragma once

namespace dgp {

inline constexpr const char* kStyle = R"(<style>
:root{color-scheme:light dark;--ink:#1c2230;--paper:#fbfbf9;--card:#fff;--soft:#5f6878;--line:#dcdfe5;--main:#1f6feb;--base:#b85c00;--good:#18794e;--bad:#c62a2f;
--csg:#2b8a3e;--csa:#d9480f;--hg:#a47a00;--vg:#6b7280;--vc:#1971c2;--idg:#9c36b5}
@media(prefers-color-scheme:dark){:root{--ink:#e6e8ee;--paper:#14171d;--card:#1b1f27;--soft:#9aa3b5;--line:#2f3642;--main:#6aa8ff;--base:#f0a356;--good:#5cc98e;--bad:#ff8a8a;
--csg:#69db7c;--csa:#ff9d6b;--hg:#ecc94b;--vg:#adb5bd;--vc:#74c0fc;--idg:#da9cf0}}
*{box-sizing:border-box}body{margin:0;background:var(--paper);color:var(--ink);font:15px/1.5 system-ui,sans-serif}
main{max-width:1340px;margin:0 auto;padding:24px}h1{margin:0;font-size:26px}h2{margin:36px 0 10px;font-size:19px}h3{margin:18px 0 6px;font-size:15px}
p{max-width:78ch}.note{color:var(--soft);margin:4px 0 12px;font-size:14px}code{font-size:13px}
.charts{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(380px,100%),1fr));gap:18px}
.small{grid-template-columns:repeat(auto-fill,minmax(min(250px,100%),1fr))}
figure{margin:0}figcaption{font-weight:600;font-size:14px}svg{width:100%;display:block}
svg text{fill:var(--soft);font-size:13px}.small svg text{font-size:20px}.grid{stroke:var(--line)}
polyline,.dot{fill:none;stroke-width:1.8;stroke-linejoin:round;stroke:var(--c)}.dot{fill:var(--c)}.small polyline{stroke-width:3.2}
.main{--c:var(--main)}.base{--c:var(--base)}.faint{--c:var(--main)}
.csg{--c:var(--csg)}.csa{--c:var(--csa)}.hg{--c:var(--hg)}.vg{--c:var(--vg)}.vc{--c:var(--vc)}.idg{--c:var(--idg)}
polyline.base{stroke-dasharray:5 4}polyline.faint{opacity:.35;stroke-width:1}
.key{font-weight:400;margin-left:10px;color:var(--c);white-space:nowrap}.key::before{content:"";display:inline-block;width:14px;border-top:3px solid var(--c);vertical-align:middle;margin-right:4px}
.key.base::before{border-top-style:dashed}.key.faint{opacity:.6}
.pair{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(450px,100%),1fr));gap:10px;margin-top:18px}.pair h3{grid-column:1/-1;margin:0}
.slider,.truth{position:relative;overflow:hidden}.slider img,.truth img{display:block;width:100%}
.slider .over{position:absolute;inset:0;height:100%;clip-path:inset(0 50% 0 0)}
.slider input{position:absolute;inset:0;width:100%;height:100%;margin:0;opacity:0;cursor:ew-resize}
.slider::after{content:"";position:absolute;top:0;bottom:0;left:var(--at,50%);border-left:2px solid #fff;box-shadow:0 0 3px #000;pointer-events:none}
.slider b,.truth b{position:absolute;top:6px;padding:0 7px;border-radius:4px;background:#000a;color:#fff;font-size:12px;pointer-events:none}b.l{left:6px}b.r{right:6px}
.strip{display:flex;flex-wrap:wrap;gap:10px}.strip figure{width:min(152px,46%)}.strip img{display:block;width:100%;image-rendering:pixelated;border:1px solid var(--line)}
.strip figcaption{font-weight:400;font-size:12.5px;color:var(--soft);line-height:1.35;padding-top:3px}.strip figcaption b{color:var(--ink);font-weight:600}
.wide{overflow-x:auto}table{border-collapse:collapse;font-variant-numeric:tabular-nums}td,th{padding:3px 12px;border-bottom:1px solid var(--line);text-align:right;white-space:nowrap}
th{font-weight:600;font-size:13.5px}thead th{border-bottom:2px solid var(--line)}th[data-sort]{cursor:pointer}td:first-child,th:first-child{text-align:left}tr.mean td{font-weight:600}
.up{color:var(--good)}.down{color:var(--bad)}.kernels td{padding:6px 8px;vertical-align:top;text-align:center}.kernels td:first-child{vertical-align:middle;text-align:left}
.kernels img{display:block;width:104px;image-rendering:pixelated;margin:0 auto 3px}.kernels th{text-align:center}.kernels th:first-child{text-align:left}.op{color:var(--c)}
.facts{display:grid;grid-template-columns:max-content 1fr;gap:2px 18px;margin:0}.facts dt{color:var(--soft)}.facts dd{margin:0;overflow-wrap:anywhere}
summary{cursor:pointer;font-weight:600;padding:4px 0}pre{overflow:auto;padding:12px;border:1px solid var(--line);border-radius:6px;font-size:12px;background:var(--card)}
</style>)";

inline constexpr const char* kScript = R"(<script>
for(const s of document.querySelectorAll(".slider")){const i=s.querySelector("input"),o=s.querySelector(".over");
i.oninput=()=>{o.style.clipPath=`inset(0 ${100-i.value}% 0 0)`;s.style.setProperty("--at",i.value+"%")}}
for(const h of document.querySelectorAll("th[data-sort]"))h.onclick=()=>{const n=+h.dataset.sort,t=h.closest("table").tBodies[0],
v=r=>{const c=r.cells[n],d=c.dataset.v;return d===undefined?c.textContent:+d},up=h.dataset.up=h.dataset.up==="1"?"0":"1";
[...t.rows].filter(r=>r.className!=="mean").sort((a,b)=>{const x=v(a),y=v(b);return(x<y?-1:x>y?1:0)*(up==="1"?1:-1)}).forEach(r=>t.append(r))};
</script>)";

}  // namespace dgp
