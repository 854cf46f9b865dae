// The report's style and script.
#pragma once

namespace dgp {

inline constexpr const char* kReportStyle = R"(<style>
:root{color-scheme:light dark;--ink:#1c2230;--paper:#fbfbf9;--soft:#6b7280;--line:#dcdfe5;--main:#1f6feb;--base:#d9822b}
@media(prefers-color-scheme:dark){:root{--ink:#e6e8ee;--paper:#14171d;--soft:#98a1b3;--line:#2c323d;--main:#6aa8ff;--base:#f0a356}}
body{margin:0;background:var(--paper);color:var(--ink);font:15px/1.5 system-ui,sans-serif}
main{max-width:1340px;margin:0 auto;padding:24px}
.charts{display:grid;grid-template-columns:repeat(auto-fit,minmax(380px,1fr));gap:18px}
figure{margin:0}figcaption{font-weight:600}svg{width:100%;display:block}
svg text{fill:var(--soft);font-size:11px}.grid{stroke:var(--line)}
polyline{fill:none;stroke-width:1.8;stroke-linejoin:round}
polyline.main{stroke:var(--main)}polyline.base{stroke:var(--base);stroke-dasharray:5 4}polyline.faint{stroke:var(--main);opacity:.3;stroke-width:1}
.key{font-weight:400;margin-left:10px;color:var(--main)}.key.base{color:var(--base)}.key.faint{opacity:.5}
.pair{display:grid;grid-template-columns:repeat(auto-fit,minmax(380px,1fr));gap:10px;margin-top:18px}.pair h3{grid-column:1/-1;margin:0}
.slider,.truth{position:relative;overflow:hidden}.slider img,.truth img{display:block;width:100%}
.slider .over{position:absolute;inset:0;height:100%;clip-path:inset(0 50% 0 0)}
.slider input{position:absolute;inset:0;width:100%;height:100%;margin:0;opacity:0;cursor:ew-resize}
.slider::after{content:"";position:absolute;top:0;bottom:0;left:var(--at,50%);border-left:2px solid #fff;box-shadow:0 0 3px #000;pointer-events:none}
.slider b,.truth b{position:absolute;top:6px;padding:0 7px;border-radius:4px;background:#000a;color:#fff;font-size:12px;pointer-events:none}
b.l{left:6px}b.r{right:6px}
table{border-collapse:collapse;font-variant-numeric:tabular-nums}td,th{padding:2px 12px;border-bottom:1px solid var(--line);text-align:right}
td:first-child,th:first-child{text-align:left}pre{overflow:auto;padding:12px;border:1px solid var(--line);border-radius:6px;font-size:12px}
</style>)";

inline constexpr const char* kReportScript = R"(<script>
for(const s of document.querySelectorAll(".slider")){const i=s.querySelector("input"),o=s.querySelector(".over");
i.oninput=()=>{o.style.clipPath=`inset(0 ${100-i.value}% 0 0)`;s.style.setProperty("--at",i.value+"%")}}
</script>)";

}  // namespace dgp
