#include "cli/compare_page.h"

#include "report/html.h"
#include "tensor/file.h"

namespace dgp {

namespace {

constexpr const char* kHead = R"(<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>dgp compare</title><style>
body{margin:0;font:15px system-ui,sans-serif;background:#181818;color:#eee}
header{padding:8px 14px;display:flex;gap:18px;align-items:baseline;flex-wrap:wrap}
label{color:#aaa}
.view{overflow:auto;height:calc(100vh - 44px)}
.pair{position:relative;cursor:ew-resize;touch-action:none;user-select:none}
.pair img{position:absolute;left:0;top:0;width:100%;height:100%;image-rendering:pixelated;pointer-events:none}
.line{position:absolute;top:0;bottom:0;width:2px;margin-left:-1px;background:#fff;pointer-events:none;
box-shadow:0 0 4px #000}
</style></head><body>
)";

constexpr const char* kScript = R"(<script>
const pair=document.querySelector('.pair'),line=document.querySelector('.line'),at=id=>document.getElementById(id);
let share=0.5;
function show(){
  const left=at('left').value,right=at('right').value;
  for(const img of pair.querySelectorAll('img')){
    img.style.visibility=img.id===left||img.id===right?'visible':'hidden';
    img.style.zIndex=img.id===left?2:1;
    img.style.clipPath=img.id===left?`inset(0 ${100-100*share}% 0 0)`:'none';
  }
  line.style.left=100*share+'%';line.style.zIndex=3;
}
function size(){
  const zoom=at('zoom').value,view=document.querySelector('.view'),w=+pair.dataset.w,h=+pair.dataset.h;
  const width=zoom==='fit'?Math.min(view.clientWidth,(view.clientHeight-1)*w/h):w*zoom/devicePixelRatio;
  pair.style.width=width+'px';pair.style.height=width*h/w+'px';
}
pair.addEventListener('pointermove',e=>{
  const box=pair.getBoundingClientRect();
  share=Math.max(0,Math.min(1,(e.clientX-box.left)/box.width));show();
});
for(const id of ['left','right'])at(id).addEventListener('change',show);
at('zoom').addEventListener('change',size);addEventListener('resize',size);size();show();
</script></body></html>
)";

std::string chooser(const char* id, const std::vector<Picture>& pictures, size_t chosen) {
  std::string text = std::string("<label>") + id + " <select id=\"" + id + "\">";
  for (size_t i = 0; i < pictures.size(); ++i)
    text += "<option value=\"p" + std::to_string(i) + (i == chosen ? "\" selected>" : "\">") +
            escaped(pictures[i].name) + "</option>";
  return text + "</select></label>\n";
}

}  // namespace

void write_page(const std::string& path, const std::vector<Picture>& pictures) {
  AtomicFile page(path);
  page.write(kHead);
  page.write(
      "<header>" + chooser("left", pictures, 0) + chooser("right", pictures, 1) +
      "<label>zoom <select id=\"zoom\"><option value=\"fit\">fit</option><option value=\"1\">1:1</option>"
      "<option value=\"2\">2:1</option><option value=\"4\">4:1</option></select></label></header>\n");
  page.write("<div class=\"view\"><div class=\"pair\" data-w=\"" + std::to_string(pictures[0].rgb.dim(1)) +
             "\" data-h=\"" + std::to_string(pictures[0].rgb.dim(0)) + "\">\n");
  for (size_t i = 0; i < pictures.size(); ++i) {
    page.write("<img id=\"p" + std::to_string(i) + "\" alt=\"" + escaped(pictures[i].name) + "\" src=\"" +
               png_uri(pictures[i].rgb) + "\">\n");
  }
  page.write("<div class=\"line\"></div></div></div>\n");
  page.write(kScript);
  page.commit();
}

}  // namespace dgp
