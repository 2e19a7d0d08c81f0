// Measures the page in the frame and writes what it saw into the page around it.

function look() {
  const frame = document.getElementById("frame");
  const page = frame.contentDocument;
  const view = frame.contentWindow;
  const width = frame.clientWidth;
  const all = [...page.body.querySelectorAll("*")];
  const name = (element) => `${element.tagName} ${element.textContent.trim().slice(0, 40)}`;
  const box = (element) => element.getBoundingClientRect();
  const texts = (svg) => [...svg.querySelectorAll("text")];
  const plots = [...page.querySelectorAll("figure > svg")];

  // A wide table may scroll, but only inside of its own box.
  const too_wide = all.filter((element) => !element.closest(".box table") && !element.closest("title")
    && box(element).right > width + 0.5);
  const cut_texts = plots.flatMap((svg) => texts(svg).filter((text) => {
    const [inner, outer] = [box(text), box(svg)];
    return inner.left < outer.left - 0.5 || inner.right > outer.right + 0.5 || inner.top < outer.top - 0.5
      || inner.bottom > outer.bottom + 0.5;
  }));
  const collide = (a, b) => a.left < b.right && b.left < a.right && a.top + 2 < b.bottom && b.top + 2 < a.bottom;
  const colliding_texts = plots.flatMap((svg) => texts(svg).flatMap((one, index) => texts(svg).slice(index + 1)
    .filter((other) => collide(box(one), box(other))).map((other) => `${name(one)} / ${name(other)}`)));

  // A column that is too narrow breaks its words into letters.
  const tall_cells = [...page.querySelectorAll("th, td")].filter((cell) => box(cell).height > 80);

  const style = (element) => view.getComputedStyle(element);
  const ground = style(page.body).backgroundColor;
  const contrasts = (elements, property) => Math.min(...elements.map((element) =>
    contrast(style(element)[property], ground)));
  const written = all.filter((element) => element instanceof view.HTMLElement
    && [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim()));
  const lines = [...page.querySelectorAll("figure > svg .line")];
  const scale = (svg) => box(svg).width / svg.viewBox.baseVal.width;
  const sizes = plots.flatMap((svg) => texts(svg).map((text) => parseFloat(style(text).fontSize) * scale(svg)));
  const tops = [...page.querySelectorAll("figure")].map((figure) => Math.round(box(figure).top));

  document.getElementById("seen").textContent = JSON.stringify({
    scroll_width: page.documentElement.scrollWidth,
    heading: page.querySelector("h1").textContent,
    too_wide: too_wide.map(name),
    cut_texts: cut_texts.map(name),
    colliding_texts,
    tall_cells: tall_cells.map(name),
    figures: plots.length,
    plots_in_first_row: tops.filter((top) => top === tops[0]).length,
    least_text_px: sizes.length ? Math.min(...sizes) : null,
    lines_drawn: lines.filter((line) => line.getTotalLength() > 20).length,
    ground,
    text_contrast: contrasts(written, "color"),
    line_contrast: lines.length ? contrasts(lines, "stroke") : null,
  });
}

// The ratio that WCAG 2 defines.
function contrast(one, other) {
  const luminance = (colour) => {
    const channels = colour.match(/[\d.]+/g).slice(0, 3).map((channel) => channel / 255)
      .map((channel) => channel <= 0.04045 ? channel / 12.92 : ((channel + 0.055) / 1.055) ** 2.4);
    return 0.2126 * channels[0] + 0.7152 * channels[1] + 0.0722 * channels[2];
  };
  const [dark, light] = [luminance(one), luminance(other)].sort((a, b) => a - b);
  return (light + 0.05) / (dark + 0.05);
}
