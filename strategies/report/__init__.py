"""One HTML file that shows a run or session, which loads nothing else.

`recorded run -> series -> charts and tables -> page`: `strategies.report.series` computes what is drawn,
`charts` draws it with matplotlib as SVG, `svg` makes that small and gives it the page's colours, `tables` and
`sections` make the rows, and `page` puts them into the template.
"""
